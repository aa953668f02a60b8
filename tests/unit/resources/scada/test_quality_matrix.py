from __future__ import annotations

import pytest

from resources.scada.quality_matrix import CONNECTORS, LISTS, PAGE, page, quality_list

HEAD = "# X\n\n## Quality list\n\n| item | state |\n|---|---|\n"


def test_page_when_compared_with_the_readmes_then_it_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_page_when_made_then_every_connector_has_its_column_and_its_list() -> None:
    made = page()
    assert f"| item | {' | '.join(LISTS)} |" in made
    for title in CONNECTORS:
        assert f"\n## {title}\n" in made


def test_list_when_states_have_words_then_they_are_kept_apart() -> None:
    text = (
        HEAD
        + "| a | done |\n| b | done: so; todo: the rest |\n| c | todo: later |\n| d | exempt: no clock |\n\n## Next\n| e | x |\n"
    )
    assert [(one.item, one.short, one.words) for one in quality_list(text, "x")] == [
        ("a", "done", ""),
        ("b", "partly", "so; todo: the rest"),
        ("c", "todo", "later"),
        ("d", "exempt", "no clock"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# X\n", "no quality list"),
        (HEAD, "no quality list"),
        (HEAD + "| a | nearly |\n", "begins with none of"),
        (HEAD + "| a | done |\n| a | todo |\n", "stands twice"),
        (HEAD + "| a | exempt |\n", "exempt needs a reason"),
    ],
)
def test_list_when_it_is_not_as_it_should_be_then_it_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        quality_list(text, "x")
