import json

import httpx
from starlette.responses import JSONResponse
from starlette.routing import Route

from subnet.telemetry.operations import Operations
from subnet.telemetry.prometheus import Registry


async def test_it_serves_its_routes_on_a_free_port_that_it_writes_down(tmp_path):
    async def health(request):
        return JSONResponse({"ok": True})

    server = Operations([Route("/healthz", health)])
    await server.start("127.0.0.1", 0, tmp_path / "endpoint.json")
    record = json.loads((tmp_path / "endpoint.json").read_text())
    assert record["port"] == server.port > 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        assert (await client.get("/healthz")).json() == {"ok": True}
        assert (await client.post("/healthz")).status_code == 405
        assert (await client.get("/nothing")).status_code == 404
    await server.stop()


def test_metrics_carry_the_role_and_their_help():
    registry = Registry("miner", {"requests": "Requests answered", "wait": "Seconds", "up": "Up"})
    registry.count("requests", outcome="ok")
    registry.count("requests", 2, outcome="ok")
    registry.observe("wait", 0.2)
    registry.set("up", 1)
    text = registry.text().decode()
    assert 'assay_miner_requests_total{outcome="ok"} 3.0' in text
    assert "# HELP assay_miner_wait Seconds" in text and "assay_miner_up 1.0" in text
