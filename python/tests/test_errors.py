from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snakepit._errors import DEPTH, EXCEPTIONS, FRAMES, MEMBERS, MESSAGE_BYTES, NOTES, describe
from snakepit._wire import PythonException


def described(raised: BaseException) -> PythonException:
    into = PythonException()
    describe(raised, into)
    return into


def caught(raised: BaseException) -> BaseException:
    try:
        raise raised
    except BaseException as problem:
        return problem


def count(message: PythonException) -> int:
    inner = [message.cause] if message.HasField("cause") else []
    return 1 + sum(map(count, [*inner, *message.members]))


def depth(message: PythonException) -> int:
    inner = [message.cause] if message.HasField("cause") else []
    return 1 + max(map(depth, [*inner, *message.members]), default=0)


def exceptions() -> st.SearchStrategy[BaseException]:
    def grow(inner: st.SearchStrategy[BaseException]) -> st.SearchStrategy[BaseException]:
        def cause(pair: tuple[BaseException, BaseException]) -> BaseException:
            pair[0].__cause__ = pair[1]
            return pair[0]

        groups = st.lists(inner, min_size=1, max_size=20).map(lambda members: BaseExceptionGroup("group", members))
        return groups | st.tuples(inner, inner).map(cause)

    return st.recursive(st.text().map(ValueError), grow, max_leaves=40)


@given(exceptions())
def test_any_exception_fits(raised: BaseException) -> None:
    message = described(raised)
    assert count(message) <= EXCEPTIONS
    assert depth(message) <= DEPTH
    assert PythonException.FromString(message.SerializeToString()) == message


@given(st.text(), st.integers(1, 4000))
def test_a_message_is_whole_or_cut_with_a_mark(text: str, times: int) -> None:
    long = text * times
    message = described(ValueError(long)).message
    assert len(message.encode()) <= MESSAGE_BYTES
    assert message == long or message.endswith("… (cut)")


def test_lone_surrogates_are_spelled_out() -> None:
    assert described(ValueError("\ud800")).message == "\\ud800"


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert depth(described(first)) == DEPTH


def test_a_deep_recursion_keeps_its_first_and_last_frames() -> None:
    def fall(left: int) -> None:
        if left == 0:
            raise RecursionError("bottom")
        fall(left - 1)

    try:
        fall(200)
    except RecursionError as raised:
        frames = described(raised).frames
    assert len(frames) == FRAMES
    assert frames[0].source == "fall(200)"
    assert frames[-1].source == 'raise RecursionError("bottom")'


def test_a_context_is_implicit_and_from_none_hides_it() -> None:
    def raised_while_handling(*, hide: bool) -> BaseException:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                if hide:
                    raise ValueError("second") from None
                raise ValueError("second")  # noqa: B904  that is what is shown
        except ValueError as problem:
            return problem

    message = described(raised_while_handling(hide=False))
    assert (message.cause.type, message.implicit) == ("KeyError", True)
    assert not described(raised_while_handling(hide=True)).HasField("cause")


def test_an_exception_that_cannot_be_printed_says_so() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    message = described(caught(Mute()))
    assert "ZeroDivisionError" in message.message
    assert message.type.endswith("Mute")


def test_odd_notes_do_no_harm() -> None:
    raised = ValueError()
    raised.__notes__ = "no list"  # type: ignore[assignment]
    assert not described(raised).notes
    raised.__notes__ = [1, *map(str, range(50))]  # type: ignore[list-item]
    assert len(described(raised).notes) < NOTES


def test_a_large_group_keeps_its_first_members() -> None:
    members = described(ExceptionGroup("many", [ValueError(str(n)) for n in range(100)])).members
    assert [member.message for member in members] == [str(n) for n in range(MEMBERS)]
