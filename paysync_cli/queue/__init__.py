"""The only room that knows RQ and Redis: the queues, the worker, the embedded server."""
