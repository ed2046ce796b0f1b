"""CSV text as rows: delimiters, quotes, lines."""

import io

import pytest

from promptpredict.csvrows import check_delimiter, find_delimiter, read_rows
from promptpredict.errors import DataError

HEADER = "id,plan,months,text\n"
LARGE = 1 << 20


def rows(text, delimiter=","):
    found = read_rows(iter(io.StringIO(text, newline="")), delimiter)
    return [(row.place, list(row.cells), row.fault) for row in found]


def body(text):
    return rows(HEADER + text)[1:]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("id,text\n1,a; b; c\n", ","),
        ("id;amount\n1;2,50\n2;3,75\n", ";"),
        ("id\ttext\n1\tone, two\n", "\t"),
        ("id|text|n\n1|a,b,c|2\n", "|"),
        ("a;b,c;d\n1;2,3;4\n1;2;3\n", ";"),
        ("a;b,c;d\n1;2,3;4\n1,2;3\n", ","),
        ('id;"note, long"\n1;x\n', ";"),
        ("feedback\nfine, thanks\n", ","),
        ("id,text\n", ","),
        ("", ","),
    ],
)
def test_the_delimiter_splits_header_and_rows_alike(text, delimiter):
    assert find_delimiter(text) == delimiter


def test_the_row_that_the_sample_cuts_does_not_count():
    text = "id;text,long\n" + "1;a,b\n" * 20_000
    assert find_delimiter(text) == ","
    assert find_delimiter("id;text\n" + "1;" + "a" * 70_000) == ";"


def test_a_tab_may_be_given_as_a_shell_hands_it_over():
    assert [check_delimiter(given) for given in ("\t", r"\t", ";")] == ["\t", "\t", ";"]


@pytest.mark.parametrize("given", ["", "||", '"'])
def test_a_delimiter_is_one_character(given):
    with pytest.raises(DataError) as error:
        check_delimiter(given)
    assert str(error.value) == f"the delimiter must be one character and no quote, got '{given}'"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_places_count_physical_lines_under_every_line_end(end):
    text = end.join(["", "a,b", "1,x", "", '2,"two', "", 'lines"', "  ", "3,y"])
    assert [place for place, _, _ in rows(text)] == ["line 2: ", "line 3: ", "line 5: ", "line 9: "]


def test_an_empty_cell_of_one_column_is_a_row_and_an_empty_line_is_none():
    """Written as `""` it is a customer who said nothing: without it the others' rows would shift."""
    assert [(place, cells) for place, cells, _ in rows('feedback\n"good"\n""\n\n"bad"\n')] == [
        ("line 1: ", ["feedback"]), ("line 2: ", ["good"]), ("line 3: ", [""]),
        ("line 5: ", ["bad"]),
    ]  # fmt: skip


def test_cells_are_handed_over_as_written():
    assert rows('a,b\n007," said ""hi"",\r\n twice "\n')[1][1] == ["007", ' said "hi",\r\n twice ']


def test_an_open_quote_at_the_end_costs_its_own_row_only():
    assert body('1,A,3,"good"\n2,A,4,"bad\n') == [
        ("line 2: ", ["1", "A", "3", "good"], ""),
        ("line 3: ", [], "a quote is opened and never closed"),
    ]


def test_rows_that_an_open_quote_swallowed_come_back():
    found = body('1,A,3,"bad\n2,B,4,good\n3,C,"5",good\n4,A,6,"multi\nline"\n')
    assert found == [
        ("line 2: ", [], "a quote is opened and never closed"),
        ("line 3: ", ["2", "B", "4", "good"], ""),
        ("line 4: ", ["3", "C", "5", "good"], ""),
        ("line 5: ", ["4", "A", "6", "multi\nline"], ""),
    ]


@pytest.mark.parametrize("odd", ["short,row\n", "a,b,c,d,e\n", 'x,y,"two\nlines",z\n', "", "\n"])
@pytest.mark.parametrize("columns", [3, 4])
def test_one_line_among_those_swallowed_is_odd(columns, odd):
    """A quote that is never closed takes its own row, whatever one of the many rows behind it is."""
    header, row = ",".join("abcd"[:columns]), ",".join(["{}", "A", "1", "good"][:columns])
    many = [row.format(n) + "\n" for n in range(60)]
    text = "".join([header + "\n", '0,A,"never closed,good\n', *many[:30], odd, *many[30:]])
    found = [cells[0] for _, cells, fault in rows(text)[1:] if not fault and len(cells) == columns]
    assert [cell for cell in found if cell != "x"] == [str(n) for n in range(60)]
    [place] = [place for place, _, fault in rows(text) if fault]
    assert place == "line 2: "


def test_rows_before_a_text_of_two_lines_come_back():
    """The stray quote ends where that text begins."""
    many = [f"{n},A,1,good\n" for n in range(10)]
    found = body(
        "".join(
            [
                '0,A,"never closed,good\n',
                *many,
                '20,"two lines\nand more",1,good\n',
                "21,A,1,good\n",
            ]
        )
    )
    assert [cells[0] for _, cells, fault in found if not fault] == [
        *map(str, range(10)),
        "20",
        "21",
    ]
    assert found[11][1][1] == "two lines\nand more"


def test_a_cell_that_is_too_large_makes_no_customers():
    """Its lines have the shape of rows, and the quote closes in the end: one row is rejected."""
    lines = "H4CK,5,I am a customer\n" * 46_000
    text = f'id,amount,feedback\n1,1,fine\n2,2,"first line\n{lines}"\n3,3,good\n4,4,"so\nso"\n'
    assert [(place, cells[:1], fault) for place, cells, fault in rows(text)[1:]] == [
        ("line 2: ", ["1"], ""),
        ("lines 3 to 46004: ", [], "a cell has more than 1,048,576 characters"),
        ("line 46005: ", ["3"], ""),
        ("line 46006: ", ["4"], ""),
    ]


def test_a_quote_has_to_close_within_bounds():
    lines = [f"{n},A,1,{'x' * 100_000}\n" for n in range(200)]
    found = body("".join(['0,A,"never closed,good\n', *lines]))
    assert [cells[0] for _, cells, fault in found if not fault] == [str(n) for n in range(200)]
    assert found[0] == ("line 2: ", [], "a quote is opened and never closed")


def test_several_open_quotes_cost_their_rows_only():
    found = body("".join(f'{n},A,1,"bad\n{n},A,1,good\n' for n in range(50)))
    assert [fault for _, _, fault in found] == ["a quote is opened and never closed", ""] * 50


def test_a_line_of_feedback_with_a_comma_is_never_taken_for_a_customer():
    # In two columns it has the shape of a row: then all of it is rejected together.
    text = 'id,text\n1,fine\n2,"first line\nwell, thanks\n'
    assert rows(text)[2:] == [("lines 3 to 4: ", [], "a quote is opened and never closed")]
    text = 'id,text\n2,"she said\n"no", twice\n3,fine\n'
    assert rows(text)[1:] == [
        ("lines 2 to 3: ", [], "text follows a closing quote"),
        ("line 4: ", ["3", "fine"], ""),
    ]


def test_lines_that_are_no_rows_of_their_own_are_rejected_together():
    assert body('1,A,3,"first\nsecond\n"third" x\n2,A,4,good\n') == [
        ("lines 2 to 4: ", [], "text follows a closing quote"),
        ("line 5: ", ["2", "A", "4", "good"], ""),
    ]


def test_text_after_a_closing_quote_is_a_fault_and_not_mangled():
    assert body('1,A,3,"he said "no" to me"\n2,A,4,good\n') == [
        ("line 2: ", [], "text follows a closing quote"),
        ("line 3: ", ["2", "A", "4", "good"], ""),
    ]


def test_a_quote_inside_an_unquoted_cell_is_text():
    assert body('1,5" screen,3,so "so"\n') == [("line 2: ", ["1", '5" screen', "3", 'so "so"'], "")]


def test_cells_may_be_large_but_not_endless():
    found = body(f"1,A,3,{'x' * LARGE}\n2,A,4,{'x' * (LARGE + 1)}\n3,A,5,good\n")
    assert [(place, fault) for place, _, fault in found] == [
        ("line 2: ", ""),
        ("line 3: ", "a cell has more than 1,048,576 characters"),
        ("line 4: ", ""),
    ]
