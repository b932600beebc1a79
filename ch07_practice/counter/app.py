"""A page that tells how often it was asked for. It runs in the container `flask`; redis, in another, has the number."""

from flask import Flask
from redis import Redis
from redis.exceptions import ConnectionError

app = Flask(__name__)
redis = Redis("redis", socket_connect_timeout=2)


@app.get("/")
def count() -> str:
    """INCR adds one and returns the sum in one step: two that ask at the same time get two numbers."""
    return f"{redis.incr('requests')}\n"


@app.errorhandler(ConnectionError)
def unavailable(error: ConnectionError) -> tuple[str, int]:
    """Whether a request was counted whose answer did not come, nobody knows: so it is not sent again here."""
    return "redis cannot be reached\n", 503
