"""What a check of one value says, with its parts kept apart so that messages can be built."""

__all__ = ["Refusal"]


class Refusal(ValueError):
    """A value that cannot be used: what is wrong, what is allowed, the nearest good spelling.

    ``show`` is False where the value itself must not be repeated, because it may hold a secret.
    """

    def __init__(
        self, problem: str, *, allowed: str = "", nearest: str = "", show: bool = True
    ) -> None:
        self.problem = problem
        self.allowed = allowed
        self.nearest = nearest
        self.show = show
        super().__init__(f"{problem}; allowed: {allowed}" if allowed else problem)
