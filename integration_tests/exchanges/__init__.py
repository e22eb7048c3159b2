"""What Dust itself answers: requests that the local Dust has to answer in the same way."""

from integration_tests.exchanges.exchange import Answer, Exchange, read_exchanges

__all__ = ["Answer", "Exchange", "read_exchanges"]
