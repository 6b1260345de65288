from podium_eval.tools.extraction import program_of, query_of


def test_a_query_is_the_last_one_tagged_on_one_line() -> None:
    assert query_of("<query>first</query> no, <query> melting\n point </query>") == "melting point"
    assert query_of("<think><query>thought</query></think><QUERY>said</QUERY>") == "said"
    assert query_of("<query>cut off") == "cut off"
    assert query_of("<query></query>") is None
    assert query_of("melting point") is None


def test_a_program_is_the_last_python_block() -> None:
    assert program_of("```python\nprint(1)\n```\nor\n```py\nprint(2)\n```") == "print(2)"
    assert program_of("```\nprint(3)\n```") == "print(3)"
    assert program_of("```bash\nls\n```\n```python\n  x = 1\nprint(x)\n```\nDone.") == "  x = 1\nprint(x)"
    assert program_of("```python\nprint('cut") == "print('cut"
    assert program_of("print(1)") is None
    assert program_of("```python\n\n```") is None


def test_a_fence_inside_a_string_ends_no_program() -> None:
    assert program_of('```python\ntext = "a ``` b"\nprint(text)\n```') == 'text = "a ``` b"\nprint(text)'
