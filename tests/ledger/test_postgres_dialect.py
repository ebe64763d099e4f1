"""What is said to SQLite means the same on PostgreSQL, and is gone about in the same way."""

import pytest

from layerwatch.ledger.postgres.dialect import definition, statement, values


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("SELECT a FROM t WHERE b = ? AND c = :c", "SELECT a FROM t WHERE b = %s AND c = %(c)s"),
        ("SELECT 'a?', 'it''s :x', '50%', b % 2", "SELECT 'a?', 'it''s :x', '50%%', b %% 2"),
        ("SELECT a FROM t INDEXED BY t_a WHERE b = 1", "SELECT a FROM t WHERE b = 1"),
        ("SELECT a /*postgres ::text */FROM t", "SELECT a ::text FROM t"),
        ("SELECT 1 + 2 WHERE +a = 1 AND (+t.b = '')", "SELECT 1 + 2 WHERE (a || '') = 1 AND ((t.b || '') = '')"),
        ("a IN (SELECT b FROM t WHERE c IN ('x', 'y'))", "a = ANY(ARRAY(SELECT b FROM t WHERE c IN ('x', 'y')))"),
        ("NOT EXISTS (SELECT 1 FROM t WHERE a = ')')", "NOT EXISTS (SELECT 1 FROM t WHERE a = ')' OFFSET 0)"),
        (
            "EXISTS (SELECT 1 FROM t WHERE a IN (SELECT b FROM u)) OR c IN (SELECT (d))",
            "EXISTS (SELECT 1 FROM t WHERE a = ANY(ARRAY(SELECT b FROM u)) OFFSET 0) OR c = ANY(ARRAY(SELECT (d)))",
        ),
        (
            "t CROSS JOIN u ON u.a = t.a\nCROSS JOIN v AS w ON w.b = u.b AND w.c = 1 WHERE t.d = 2",
            """t CROSS JOIN LATERAL (SELECT * FROM u AS u WHERE u.a = t.a OFFSET 0) AS u
CROSS JOIN LATERAL (SELECT * FROM v AS w WHERE w.b = u.b AND w.c = 1 OFFSET 0) AS w WHERE t.d = 2""",
        ),
    ],
)
def test_a_statement(here: str, there: str) -> None:
    assert statement(here) == there


def test_a_bracket_that_is_not_closed_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="not closed"):
        statement("SELECT 1 WHERE EXISTS (SELECT 1")


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("CREATE INDEX a ON files (b) WHERE c = 1", "CREATE INDEX a ON files (b, id) WHERE c = 1"),
        ("CREATE INDEX a ON generations (b, c)", "CREATE INDEX a ON generations (b, c, id)"),
        ("CREATE INDEX a ON history (b, id)", "CREATE INDEX a ON history (b, id)"),
        ("CREATE INDEX a ON files (id) WHERE b = 1", "CREATE INDEX a ON files (id) WHERE b = 1"),
        ("CREATE INDEX a ON results (b)", "CREATE INDEX a ON results (b)"),
        ("CREATE UNIQUE INDEX a ON files (b)", "CREATE UNIQUE INDEX a ON files (b)"),
        ("ALTER TABLE a ADD COLUMN b REAL", "ALTER TABLE a ADD COLUMN b DOUBLE PRECISION"),
        ("a TEXT NOT NULL, b INTEGER) WITHOUT ROWID", 'a TEXT COLLATE "C" NOT NULL, b BIGINT)'),
    ],
)
def test_a_definition(here: str, there: str) -> None:
    assert definition(here) == there


def test_what_is_bound() -> None:
    assert values([True, 7, None, "a\0b", b"\xff", 1.5]) == [1, 7, None, "a\ufffdb", "\x01ff", 1.5]
    assert values({"a": b"", "b": False}) == {"a": "\x01", "b": 0}
