"""One visit to the app: what its pages show, and what a person does there."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
from PIL import Image
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test
from streamlit.testing.v1.element_tree import Button, Dataframe, UnknownElement, Widget

from tests.support import PROJECT

APP = PROJECT / "app.py"
WORDS = ("title", "markdown", "caption", "warning", "error", "text", "code")


class Picture(NamedTuple):
    """One that a page showed by `st.image`."""

    pixels: np.ndarray
    """uint8 (height, width), or (height, width, 3)."""
    caption: str | None


class Session:
    """A tab of a browser, as far as Python sees it.

    AppTest draws neither components nor charts; this reads what they are given, and sends what
    they would.

    Parameters
    ----------
    page : str
        Name of a file below pages/.
    live : bool
        Whether the browser reaches the decode route.
    dark : bool
        Whether its theme is the dark one.
    **link : str
        What the address holds behind its question mark.
    """

    def __init__(
        self, page: str = "latent_map", *, live: bool = True, dark: bool = False, **link: str
    ) -> None:
        self.app = AppTest.from_file(APP, default_timeout=30)
        self.app.context["theme"] = "dark" if dark else "light"
        if not live:
            self.app.session_state["route_unreachable"] = True
        self.visit(page, **link)

    @property
    def link(self) -> dict[str, str]:
        """What the address holds now."""
        return self.app.query_params

    @property
    def words(self) -> str:
        """All that stands on the page and in the sidebar, but for the widgets' labels."""
        found = [element.value for kind in WORDS for element in getattr(self.app, kind)]
        return read_escaped("\n".join([*found, *(block.label for block in self.app.expander)]))

    @property
    def notices(self) -> str:
        """What is said of values that could not be used."""
        return read_escaped("\n".join(warning.value for warning in self.app.warning))

    def visit(self, page: str, **link: str) -> Self:
        """Go to a page; as in a browser, the address keeps nothing of the last one's."""
        self.app.query_params = dict(link)
        self.app.switch_page(f"pages/{page}.py")
        return self.run()

    def run(self) -> Self:
        """Let the script run."""
        self.app.run()
        return self._check()

    def seen(self) -> tuple[str, list[object]]:
        """Return all that can be compared of a page: its words, and what is drawn."""
        views = [self.view(key) for key in self.views()]
        return self.words, [*views, *(self.chart(key) for key in self.charts())]

    def labels(self) -> list[str]:
        """Return what the widgets are called."""
        return [node.label for node in self.app._tree if isinstance(node, Widget)]

    def widget(self, key: str) -> Widget:
        """Return the widget of a key."""
        (found,) = (n for n in self.app._tree if isinstance(n, Widget) and n.key == key)
        return found

    def set(self, **values: object) -> Self:
        """Set widgets, by key, and let the script run."""
        for key, value in values.items():
            self.widget(key).set_value(value)
        return self.run()

    def faces(self) -> dict[str, str]:
        """Return the ids of the faces in the tray, by name."""
        fields = [f for f in self.app.text_input if (f.key or "").startswith("name-")]
        return {field.value: field.key.removeprefix("name-") for field in fields}

    def rename(self, name: str, wanted: str) -> Self:
        """Give a face in the tray another name."""
        return self.set(**{f"name-{self.faces()[name]}": wanted})

    def forget(self, name: str) -> Self:
        """Remove a face from the tray."""
        self.widget(f"remove-{self.faces()[name]}").click()
        return self.run()

    def click(self, label: str) -> Self:
        """Click the button of that label."""
        (button,) = (n for n in self.app._tree if isinstance(n, Button) and n.label == label)
        button.click()
        return self.run()

    def tables(self) -> list[dict[str, list[object]]]:
        """Return the tables on the page, by column."""
        found = (node for node in self.app._tree if isinstance(node, Dataframe))
        return [table.value.to_dict(orient="list") for table in found]

    def views(self) -> list[str]:
        """Return the keys of the live views on the page."""
        return [view.key for view in self._unknown("bidi_component")]

    def view(self, key: str) -> dict:
        """Return what the live view of that key was given."""
        return json.loads(self._element("bidi_component", key).proto.json)

    def charts(self) -> list[str]:
        """Return the keys of the Plotly charts on the page."""
        return [chart.key for chart in self._unknown("plotly_chart")]

    def chart(self, key: str) -> dict:
        """Return the Plotly chart of that key."""
        return json.loads(self._element("plotly_chart", key).proto.spec)

    def send(self, key: str, trigger: str, value: object) -> Self:
        """Have a live view report something that happened."""
        id = self._element("bidi_component", key).proto.id
        events = json.dumps([{"event": trigger, "value": value}])
        name = f"$$STREAMLIT_INTERNAL_KEY_{id}__events"
        return self._run_with(WidgetState(id=name, json_trigger_value=events))

    def encircle(self, key: str, rows: list[int]) -> Self:
        """Have a live map report what a lasso caught."""
        id = self._element("bidi_component", key).proto.id
        return self._run_with(WidgetState(id=id, json_value=json.dumps({"selected": rows})))

    def select(self, key: str, points: list[dict[str, object]], **shapes: object) -> Self:
        """Have a chart report selected points, by a click or by the shapes of a box or lasso."""
        selection = {"points": points, "box": [], "lasso": [], **shapes}
        state = json.dumps({"selection": selection})
        id = self._element("plotly_chart", key).proto.id
        return self._run_with(WidgetState(id=id, string_value=state))

    def _run_with(self, state: WidgetState) -> Self:
        states = self.app._tree.get_widget_states()
        states.widgets.append(state)
        self.app._run(states)
        return self._check()

    def _check(self) -> Self:
        assert not self.app.exception, "\n".join(
            f"{error.value}\n{''.join(error.stack_trace)}" for error in self.app.exception
        )
        return self

    def _unknown(self, kind: str) -> list[UnknownElement]:
        nodes = (node for node in self.app._tree if isinstance(node, UnknownElement))
        return [node for node in nodes if node.type == kind]

    def _element(self, kind: str, key: str) -> UnknownElement:
        (found,) = (node for node in self._unknown(kind) if node.key == key)
        return found


def keep_navigation(set_attribute: Callable[[object, str, object], None] = setattr) -> None:
    """Have AppTest remember that the app calls st.navigation.

    It forgets that before each run, and would then run the files below pages/ without app.py
    around them.
    """
    set_attribute(PagesManager, "uses_pages_directory", False)
    set_attribute(app_test, "PagesManager", type("Pages", (PagesManager,), {}))


Open = Callable[..., Session]
"""`open_app(page="latent_map", *, live=True, dark=False, **link)`"""
Files = dict[str, Callable[[], bytes | str]]
"""Files that a page offers, by name: called, each gives what is in it."""


def read_escaped(text: str) -> str:
    """Return what a person reads where `escape_markdown` wrote."""
    return re.sub(r"\\(?=[^\w\s]|_)", "", text)


def read_array(values: list[float] | dict[str, str]) -> np.ndarray:
    """Read numbers of a Plotly figure, which may be packed."""
    if isinstance(values, dict):
        data = base64.b64decode(values["bdata"])
        return np.frombuffer(data, values["dtype"])
    return np.array(values)


def read_floats(packed: str) -> np.ndarray:
    """Read what `pack_floats` wrote."""
    return np.frombuffer(base64.b64decode(packed), "<f4")


def read_points(figure: dict) -> np.ndarray:
    """Return where a map's figure draws the encodings (n, 2), in the order of their rows."""
    traces = [trace for trace in figure["data"] if "customdata" in trace]
    rows = np.concatenate([read_array(trace["customdata"]) for trace in traces])
    x, y = (np.concatenate([read_array(trace[axis]) for trace in traces]) for axis in "xy")
    return np.stack([x, y], axis=1)[np.argsort(rows)]


def read_mosaic(figure: dict) -> np.ndarray:
    """Return the picture (height, width) under a figure's points, in [0, 1]."""
    return read_picture(figure["layout"]["images"][0]["source"]) / 255


def read_picture(url: str) -> np.ndarray:
    """Return the pixels of a picture that its address carries, uint8."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
