"""The door for whoever speaks HTTP: probes, Prometheus, applications in other languages, banks that send notices.

The only room, beside the simulated bank, that knows Starlette and uvicorn. It is entered by `paysync serve` and by
`paysync worker --health-port`, and loaded by nobody else.
"""
