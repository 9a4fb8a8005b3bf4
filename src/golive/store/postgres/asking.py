"""How one tenant's rows are asked for: in a transaction that may see no other's."""

# ruff: noqa: S608 - the query is one of our own


def as_tenant(query: str) -> str:
    """`query`, which says `tenant = mine`, for the tenant $1, in a transaction that may see no other.

    The tenant is set by the row that the query is evaluated for, and so before it: a subquery with an OFFSET is not
    taken apart, and one that uses a column of another relation is evaluated once that relation's row is there.
    """
    return (
        "WITH me AS MATERIALIZED (SELECT set_config('golive.tenant', $1, true) AS mine)"
        f" SELECT found.* FROM me CROSS JOIN LATERAL ({query} OFFSET 0) AS found"
    )
