"""``apply_chat_template``: arguments, which template is used, and what a hostile one gets."""

import datetime as dt
import json
import os
import threading
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import pytest

from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.tokenizers import chat_process
from hubloader.tokenizers.chat_render import render_chats
from hubloader.tokenizers.chat_tools import tool_schema

MODEL = Path(__file__).resolve().parents[2] / "cache_fixtures/tokenizers/spm-llama/tokenizer.model"
TURNS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TALK = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi there"}]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(MODEL.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "chat_template": TURNS})
    )
    return tmp_path


@pytest.fixture
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def write(tokenizer, talk=TALK, **arguments):
    return tokenizer.apply_chat_template(talk, tokenize=False, **arguments)


def render(template, messages=(), **values):
    return render_chats(template, [{"messages": list(messages)}], values)[0].text


def test_ids_are_those_of_the_text_without_a_frame(tokenizer):
    text = write(tokenizer)
    assert text == "<user>hello</s><assistant>hi there</s>"
    expected = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.apply_chat_template(TALK) == expected
    encoded = tokenizer.apply_chat_template(TALK, return_dict=True, truncation=True, max_length=4)
    assert encoded["input_ids"] == expected[:4]
    assert encoded["attention_mask"] == [1] * 4


def test_the_answer_is_begun_on_request(tokenizer):
    assert write(tokenizer, TALK[:1], add_generation_prompt=True).endswith("</s><assistant>")


def test_the_last_message_is_left_open_on_request(tokenizer):
    assert write(tokenizer, continue_final_message=True).endswith("<assistant>hi there")
    blocks = [{"role": "user", "content": [{"type": "text", "text": "go "}]}]
    template = "{{ messages[0].content[0].text }}END"
    assert write(tokenizer, blocks, chat_template=template, continue_final_message=True) == "go "
    assert blocks[0]["content"][0]["text"] == "go "


def test_a_last_message_that_the_template_drops_cannot_be_left_open(tokenizer):
    with pytest.raises(ValueError, match="does not appear in the chat"):
        write(tokenizer, chat_template="nothing", continue_final_message=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"return_dict": True, "tokenize": False}, "incompatible with `tokenize=False`"),
        ({"return_assistant_tokens_mask": True}, "incompatible with `return_dict=False`"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "not compatible"),
        (
            {"continue_final_message": True, "return_assistant_tokens_mask": True,
             "return_dict": True}, "not compatible",
        ),
        ({"tools": [3]}, "Tools should either be"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_go_together_are_refused(tokenizer, arguments, words):
    with pytest.raises(ValueError, match=words):
        tokenizer.apply_chat_template(TALK, **arguments)


def test_messages_are_not_passed_beside_the_conversation(tokenizer):
    with pytest.raises(TypeError, match="pass it as that"):
        write(tokenizer, messages=[])


def test_documents_that_are_no_mappings_are_refused(tokenizer):
    with pytest.raises(TypeError, match="Documents should be"):
        tokenizer.apply_chat_template(TALK, documents=["text"])


def test_several_conversations_give_several_texts(tokenizer):
    assert write(tokenizer, [TALK, TALK[:1]]) == [
        "<user>hello</s><assistant>hi there</s>", "<user>hello</s>",
    ]  # fmt: skip


def test_without_a_template_the_error_says_how_to_give_one(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="chat_template is not set"):
        write(tokenizer)
    assert write(tokenizer, chat_template="{{ messages | length }}") == "2"


def test_a_template_file_wins_over_the_config_and_more_stand_beside_it(folder):
    (folder / "chat_template.jinja").write_text("default")
    assert write(AutoTokenizer.from_pretrained(folder)) == "default"
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools | length }}")
    (folder / "additional_chat_templates" / "rag.jinja").write_text("rag")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert sorted(tokenizer.chat_template) == ["default", "rag", "tool_use"]
    assert write(tokenizer) == "default"
    assert write(tokenizer, tools=[{}]) == "1"
    assert write(tokenizer, chat_template="rag") == "rag"
    tokenizer.save_pretrained(folder / "saved")
    again = AutoTokenizer.from_pretrained(folder / "saved")
    assert again.chat_template == tokenizer.chat_template


def test_templates_listed_in_the_config_go_by_their_names(folder):
    listed = [{"name": "default", "template": "D"}, {"name": "rag", "template": "R"}]
    config = {"tokenizer_class": "LlamaTokenizer", "chat_template": listed}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (write(tokenizer), write(tokenizer, chat_template="rag")) == ("D", "R")


@pytest.mark.parametrize("template", [[{"name": "x"}], ["x"], 5])
def test_a_chat_template_that_is_none_is_a_corrupt_file(folder, template):
    config = {"tokenizer_class": "LlamaTokenizer", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CorruptFile, match="chat_template"):
        AutoTokenizer.from_pretrained(folder)


def test_several_templates_without_a_default_have_to_be_named(tokenizer):
    tokenizer.chat_template = {"a": "A", "b": "B"}
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        write(tokenizer)
    assert write(tokenizer, chat_template="b") == "B"


def test_what_one_message_adds_is_found(tokenizer):
    added = tokenizer.encode_message_with_chat_template(TALK[1], TALK[:1])
    assert tokenizer.apply_chat_template(TALK)[-len(added) :] == added
    assert "hi there" in tokenizer.decode(added)


def test_assistant_masks_cover_what_stands_in_generation(tokenizer):
    template = (
        "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n"
        "{% endfor %}"
    )
    encoded = tokenizer.apply_chat_template(
        TALK, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    assert tokenizer.decode([index for index, learnt in pairs if learnt]) == "hi there"


def test_json_in_a_template_is_not_escaped_for_html():
    assert render("{{ x | tojson }}", x={"ü": "<b>"}) == '{"ü": "<b>"}'
    assert render("{{ x | tojson(indent=1, sort_keys=true) }}", x={"b": 1, "a": 2}) == (
        '{\n "a": 2,\n "b": 1\n}'
    )


def test_a_template_knows_the_users_day():
    assert render("{{ strftime_now('%Y') }}").isdigit()


class Message(dict):
    pass


class Role(str, Enum):
    USER = "user"


class Shaped:
    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


@pytest.mark.parametrize(
    ("value", "template", "text"),
    [
        ({1: "a", None: "b", (2, 3): "c"}, "{{ x[1] ~ x[none] ~ x[(2, 3)] }}", "abc"),
        ((1, 2), "{{ x }}", "(1, 2)"),
        (Message(a=(1, (2,))), "{{ x.a }}", "(1, (2,))"),
        (b"raw", "{{ x }}", "b'raw'"),
        (Role.USER, "{{ x == 'user' }}{{ x }}", "Trueuser"),
        (Shaped(3), "{{ x + 1 }}", "4"),
        (Shaped([1.5, True]), "{{ x }}", "[1.5, True]"),
        (Message(when=dt.date(2026, 1, 2)), "{{ x.when }}", "2026-01-02"),
        ({"e\ud800": 1 << 80}, "{{ x }}", "{'e\\ud800': 1208925819614629174706176}"),
        (range(2), "{{ x }}", "[0, 1]"),
    ],
)
def test_a_template_sees_values_as_they_were_given(value, template, text):
    assert render(template, x=value) == text


def test_what_cannot_be_handed_to_a_template_is_refused():
    with pytest.raises(TypeError, match="not object"):
        render("{{ x }}", x=object())


def test_the_clock_is_wound_again_for_each_conversation(monkeypatch):
    wound = []
    restart = chat_process._Clock.restart
    monkeypatch.setattr(
        chat_process._Clock, "restart", lambda clock: wound.append(1) or restart(clock)
    )
    render("start")
    wound.clear()
    chats = [{"messages": [number]} for number in range(3)]
    assert [c.text for c in render_chats("{{ messages }}", chats, {})] == ["[0]", "[1]", "[2]"]
    assert wound == [1, 1, 1]


def test_what_a_worker_takes_to_start_is_taken_off_the_time_of_its_first_template(monkeypatch):
    now, given = [100.0], []

    class Worker:
        def exchange(self, _request, seconds, _answers):
            given.append(round(seconds, 6))
            return [{"text": "", "spans": []}]

    def start(takes):
        def worker():
            now[0] += takes
            return Worker()

        return worker

    monkeypatch.setattr(chat_process, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for takes in (0.25, 9.0):
        monkeypatch.setattr(chat_process, "_start", start(takes))
        desk = chat_process._Desk()
        desk.exchange(b"", 1)
        desk.exchange(b"", 1)
    assert given == [1.25, 1.5, 0.5, 1.5]


def test_of_several_conversations_the_one_that_does_not_fit_is_the_error():
    chats = [{"messages": ["a"]}, {"messages": []}, {"messages": ["b"]}]
    with pytest.raises(ValueError, match="no element 0"):
        render_chats("{{ messages[0].x }}", chats, {})
    assert render("{{ 1 }}") == "1"


HOSTILE = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "power": "{{ 9**(9**9) }}",
    "repeat": "{{ 'a' * 4000000000 }}",
    "join": "{{ range(99999) | join('a' * 99999) }}",
    "output": "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "pad": "{{ 'a'.center(9999999999) }}",
    "format": "{{ '%99999999999d' % 1 }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "format attributes": "{{ '{0.__class__.__mro__}'.format('') }}",
    "frames": "{{ (messages | map('upper')).gi_frame.f_globals }}",
    "changes": "{{ messages.append(1) }}",
    "text": "x" * ((1 << 20) + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_stopped_and_the_next_one_runs(name):
    with pytest.raises(UnsafeFile):
        render(HOSTILE[name])
    assert render("{{ 6 * 7 }}") == "42"


def test_what_was_too_much_is_said():
    with pytest.raises(UnsafeFile, match=r"wrote more than 10\d{5} characters"):
        render(HOSTILE["output"])
    with pytest.raises(UnsafeFile, match=r"more than 256 MiB of memory"):
        render(HOSTILE["repeat"])
    with pytest.raises(UnsafeFile, match=r"more than 1(\.5)? s"):
        render(HOSTILE["loops"])


def test_attributes_by_filter_reach_nothing():
    assert render("{{ '' | attr('__class__') | attr('__mro__') }}") == ""


def test_what_is_no_template_is_a_corrupt_file_with_its_line():
    with pytest.raises(CorruptFile, match=r"not Jinja \(line 2\)"):
        render("fine\n{% for %}")


def test_a_template_that_refuses_says_so_in_its_own_words():
    with pytest.raises(ValueError, match=r"^roles must alternate$"):
        render("{{ raise_exception('roles must alternate') }}")


def test_a_template_that_does_not_fit_is_a_value_error_with_jinjas_words():
    with pytest.raises(ValueError, match="UndefinedError: list object has no element 0"):
        render("{{ messages[0].content }}")


def test_a_conversation_that_holds_itself_is_refused():
    talk = [{"role": "user"}]
    talk[0]["content"] = talk
    with pytest.raises(ValueError, match=r"nested too deeply|Circular"):
        render("{{ messages }}", talk)


def test_output_may_grow_with_what_was_put_in():
    long = "a" * (2 << 20)
    assert render("{{ messages[0] }}", [long]) == long


def test_a_worker_that_was_killed_is_replaced():
    render("x")
    first = idle()
    first.kill()
    assert render("y") == "y"
    assert idle().pid != first.pid


def idle():
    """Give the process that the next template would run in."""
    return chat_process.desk.idle[-1]._process


def test_threads_get_their_own_answers_and_few_workers_are_kept():
    answers = {}

    def ask(number):
        answers[number] = render("{{ messages[0] }}", [number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: str(number) for number in range(8)}
    assert 1 <= len(chat_process.desk.idle) <= 4


def test_a_template_that_takes_its_time_keeps_no_other_waiting(monkeypatch):
    exchange = chat_process._Worker.exchange
    begun, go_on = threading.Event(), threading.Event()

    def wait_for_the_other(worker, request, *more):
        if b"slow" in request:
            begun.set()
            go_on.wait()
        return exchange(worker, request, *more)

    monkeypatch.setattr(chat_process._Worker, "exchange", wait_for_the_other)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(render("slow")))
    thread.start()
    begun.wait()
    assert render("quick") == "quick"
    assert not answers
    go_on.set()
    thread.join()
    assert answers == ["slow"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_starts_a_worker_of_its_own_and_leaves_the_parents():
    render("x")
    parents = idle().pid
    child = os.fork()
    if child == 0:
        good = render("{{ 1 }}") == "1" and idle().pid != parents
        chat_process.desk.close()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert render("{{ 2 }}") == "2"
    assert idle().pid == parents


def test_the_worker_sees_no_environment(monkeypatch):
    chat_process.desk.close()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    render("x")
    path = Path(f"/proc/{idle().pid}/environ")
    if not path.exists():
        pytest.skip("the system does not show a process's environment")
    assert b"hf_secret" not in path.read_bytes()


def test_without_a_python_to_run_the_error_says_so(monkeypatch):
    chat_process.desk.close()
    monkeypatch.setattr("sys.executable", "")
    with pytest.raises(ImportError, match="no Python program"):
        render("x")


def undescribed(place: str):
    """Look."""


def unhinted(place):
    """Look."""


def test_a_function_that_does_not_say_enough_is_refused():
    with pytest.raises(ValueError, match="no description for the argument 'place'"):
        tool_schema(undescribed)
    with pytest.raises(ValueError, match="missing a type hint"):
        tool_schema(unhinted)
    with pytest.raises(ValueError, match="no docstring"):
        tool_schema(lambda: None)


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = 1


def look_up(place: str, unit: Unit = Unit.CELSIUS, days: list | None = None, at: int = 0):
    """Look up the weather.

    Args:
        place: Where, as in
            note: people say "Köln"
            or so
        unit: In what
        days: Which
        at:
            When
    """


def test_a_description_may_go_on_and_hold_a_colon_and_an_enum_lists_its_values():
    properties = tool_schema(look_up)["function"]["parameters"]["properties"]
    assert properties == {
        "place": {"type": "string",
                  "description": 'Where, as in note: people say "Köln" or so'},
        "unit": {"type": ["string", "integer"], "enum": ["celsius", 1], "description": "In what"},
        "days": {"type": "array", "nullable": True, "description": "Which"},
        "at": {"type": "integer", "description": "When"},
    }  # fmt: skip


def test_a_last_message_without_content_cannot_be_left_open(tokenizer):
    talk = [{"role": "assistant", "tool_calls": []}]
    with pytest.raises(ValueError, match="no content to continue"):
        write(tokenizer, talk, continue_final_message=True)


def test_a_conversation_may_be_empty(tokenizer):
    """transformers raises an IndexError."""
    assert write(tokenizer, [], add_generation_prompt=True) == "<assistant>"
