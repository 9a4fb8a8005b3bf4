"""Running a script within a step."""

from alembic import op

from golive.store.schema import statements


def run(script: str) -> None:
    """Runs the script's statements, one by one, in the step's transaction."""
    for statement in statements(script):
        op.get_bind().exec_driver_sql(statement)
