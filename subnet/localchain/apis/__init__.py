"""Runtime APIs: what `state_call` answers, one module per group."""

from subnet.localchain.apis import core, neurons, stake, subnets
from subnet.localchain.model import RuntimeApi

APIS: tuple[RuntimeApi, ...] = (*core.APIS, *neurons.APIS, *stake.APIS, *subnets.APIS)
