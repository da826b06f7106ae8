"""The only room that knows SQL: tables, transactions, queries. SQLite by default, PostgreSQL as a second dialect."""
