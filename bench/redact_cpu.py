"""What keeping known secrets out of texts costs: processor time to learn one, and for a character of text.

python -m bench.redact_cpu
"""

import time

from golive.core.chance import SystemChance
from golive.guards.redact import Redactor

SECRETS = (0, 1, 10, 100, 1_000)
WORDS = "the run was begun again, and what had been said before stood as it was; "
ROUNDS = 50


def main() -> None:
    """Prints a line for each number of secrets."""
    chance = SystemChance()
    text = " ".join(f"{WORDS}{chance.token(4).hex()}" for _ in range(120))
    for count in SECRETS:
        redactor, values = Redactor(), [chance.token(32).hex() for _ in range(count)]
        begun = time.process_time()
        redactor.learn(*values)
        learned = (time.process_time() - begun) / max(count, 1)
        begun = time.process_time()
        for _ in range(ROUNDS):
            redactor.text(text)
        spent = (time.process_time() - begun) / ROUNDS / len(text)
        print(f"{count:>5} secrets: {learned * 1e6:7.1f} us to learn one, {spent * 1e6:.3f} us a character")


if __name__ == "__main__":
    main()
