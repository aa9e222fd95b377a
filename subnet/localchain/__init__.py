"""The local chain: an embedded Subtensor that the unmodified clients take for the real one.

`python -m subnet.localchain` starts it; `subnet.localchain.process.running_chain` starts it from
Python. Import from the modules: the package itself loads nothing.
"""
