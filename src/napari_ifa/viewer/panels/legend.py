"""The colour bar: where zero contribution lies, the cohort's P10 and P90, and the ends in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from napari_ifa.analysis import Explanation

_BAR_HEIGHT = 16
#: What lies under the overlay in the bar: the grey of a tissue, not the black of air.
_TISSUE = 0.32
#: Of the words for what speaks against and for, by the theme whose ground they are read on.
_END_COLOURS = {"dark": ("#78aaff", "#ff8269"), "light": ("#1f4fb8", "#b0241a")}


class Legend(QWidget):
    """The overlay's colours from one end of the scale to the other, as they look on tissue."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._neutral: float | None = None
        self._marks: list[tuple[float, str]] = []
        self._sides = ("", "")
        self._opacity = 1.0
        self._on_scale = True
        self._explanation: Explanation | None = None

    def event(self, event: QEvent) -> bool:
        """Find the words of the tooltip when asked for: how sure they are takes a moment."""
        if event.type() == QEvent.Type.ToolTip:
            self.setToolTip(self.toolTip())
        return super().event(event)

    def toolTip(self) -> str:
        """What the marks are, and how well the cohort tells them."""
        return self._explanation_in_words(self._explanation)

    def show_explanation(self, explanation: Explanation | None) -> None:
        """Take the scale from an explanation; None leaves the bar empty."""
        self._explanation = explanation
        self._neutral = None
        if explanation is not None:
            scale = explanation.scale
            self._sides = explanation.sides
            self._neutral = 0.0 if scale is None else float(scale.neutral)
            if scale is None:
                end = explanation.largest
                self._marks = [(-1.0, f"{-end:+.2g}"), (1.0, f"{end:+.2g}")]
            else:
                self._marks = list(scale.marks)
        self.update()

    def show_opacity(self, opacity: float) -> None:
        """Draw the colours as the map does, 0 to 1."""
        self._opacity = opacity
        self.update()

    def show_reliable(self, on_scale: bool) -> None:
        """Whether the map has the colours of this bar; crossed out where it has others."""
        self._on_scale = on_scale
        self.update()

    @property
    def opacity(self) -> float:
        """At which the colours are drawn over grey."""
        return self._opacity

    @property
    def neutral(self) -> float | None:
        """Where the neutral mark stands, on the scale from −1 to 1."""
        return self._neutral

    @property
    def marks(self) -> list[tuple[float, str]]:
        """What is marked above the bar: where, from −1 to 1, and its words."""
        return list(self._marks)

    @property
    def ends(self) -> tuple[str, str]:
        """The words at the two ends."""
        return self._sides

    def sizeHint(self) -> QSize:
        """Three lines of text and the bar."""
        line = round(QFontMetricsF(self.font()).height())
        return QSize(240, 3 * line + _BAR_HEIGHT + 16)

    def minimumSizeHint(self) -> QSize:
        """As tall as the hint: no line of text is cut."""
        return QSize(160, self.sizeHint().height())

    def paintEvent(self, event: object) -> None:
        """Draw the bar with its marks."""
        if self._neutral is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        line = QFontMetricsF(self.font()).height()
        margin = 12.0
        bar = QRectF(margin, line + 6, self.width() - 2 * margin, _BAR_HEIGHT)
        painter.fillRect(bar, self._gradient(bar))
        painter.setPen(QPen(text, 1))
        if not self._on_scale:
            painter.drawLine(bar.topLeft(), bar.bottomRight())
            painter.drawLine(bar.bottomLeft(), bar.topRight())
        for value, label in self._marks:
            x = self._x(value, bar)
            painter.drawLine(QPointF(x, bar.top() - 4), QPointF(x, bar.bottom()))
            self._centred(painter, x, 0, label)
        x = self._x(self._neutral, bar)
        painter.setBrush(text)
        tip = bar.bottom() + 1
        painter.drawPolygon(
            QPolygonF([QPointF(x, tip), QPointF(x - 4, tip + 6), QPointF(x + 4, tip + 6)])
        )
        self._centred(painter, x, tip + 7, "0 logits: no contribution")
        against, towards = (
            painter.fontMetrics().elidedText(end, Qt.TextElideMode.ElideRight, self.width() // 2)
            for end in self.ends
        )
        words = QRectF(2, tip + 7 + line, self.width() - 4, line)
        blue, red = _END_COLOURS["dark" if text.lightness() > 127 else "light"]
        painter.setPen(QColor(blue))
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft, against)
        painter.setPen(QColor(red))
        painter.drawText(words, Qt.AlignmentFlag.AlignRight, towards)
        painter.end()

    def _gradient(self, bar: QRectF) -> QLinearGradient:
        from napari_ifa.analysis.colour import diverging_colours

        assert self._neutral is not None
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        steps = 80
        for step in range(steps + 1):
            value = -1 + 2 * step / steps
            red, green, blue, alpha = diverging_colours(value, self._neutral)
            alpha *= self._opacity
            mixed = [c * alpha + _TISSUE * (1 - alpha) for c in (red, green, blue)]
            gradient.setColorAt(step / steps, QColor.fromRgbF(*mixed))
        return gradient

    def _x(self, value: float, bar: QRectF) -> float:
        return bar.left() + (value + 1) / 2 * bar.width()

    def _centred(self, painter: QPainter, x: float, top: float, label: str) -> None:
        width = painter.fontMetrics().horizontalAdvance(label) + 2
        left = min(max(x - width / 2, 0), self.width() - width)
        height = QFontMetricsF(self.font()).height()
        painter.drawText(QRectF(left, top, width, height), Qt.AlignmentFlag.AlignCenter, label)

    def _explanation_in_words(self, explanation: Explanation | None) -> str:
        if explanation is None:
            return ""
        from napari_ifa.analysis.scale import FOCAL_RATIO

        scale = explanation.scale
        if scale is None:
            return (
                "Without an analysis the ends are this case's own largest activation"
                f" (±{explanation.largest:.3g} logits)."
            )
        of = "of the cases' greatest class activation on either side"
        if scale.basis == "voxels":
            of = "of all class activations of the cohort, on either side"
        if scale.form == "paper":
            of = "of the cases' least and of their greatest class activation"
            if scale.basis == "voxels":
                share = scale.high - scale.low
                of = f"between these lie {share:g} % of all class activations of the cohort"
        said = (
            f"{scale.low_name} and {scale.high_name}: {of}"
            f" ({scale.p_low:.3g} to {scale.p_high:.3g} in logit units)."
            f" Zero contribution lies at {scale.neutral:.2f} and is drawn transparent."
        )
        if scale.ratio is not None:
            said += (
                f" The cases' strongest places are {scale.ratio:.3g} times the voxels' P90;"
                f" above {FOCAL_RATIO:g} they set the scale."
            )
        if scale.scope == "all":
            said += " One scale for all classes."
        return f"{said} {scale.precision}".strip()
