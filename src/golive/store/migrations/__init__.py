"""How the tables came to be what they are, and how they change: for `golive store` alone.

Owns the one description of all tables (`tables.py`), the SQL that is written from it (`ddl.py`, checked in under
`store/ddl/`) and the steps from each schema to the next (`versions/`), run by `migrate.py`. No server imports any of
it: a server makes an empty database from the checked-in SQL, and otherwise only reads which schema there is
(`store/schema.py`).
"""
