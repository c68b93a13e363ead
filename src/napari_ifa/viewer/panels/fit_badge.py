"""Whether the study fits the cohort, as a badge: an icon, a colour and a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_ifa.viewer.panels.widgets import badge_style, plain
from napari_ifa.viewer.scene.corner_note import BADGE_COLOURS

if TYPE_CHECKING:
    from napari_ifa.analysis import CohortFit

#: An icon for each answer, so that nobody has to tell it by its colour.
_OUTSIDE, _UNUSUAL, _NOT_SEEN, _NOT_KNOWN = "⚠", "▲", "○", "?"
#: Of the grey badge, in the colours of the theme: nothing was found, which certifies nothing.
_GREY_STYLE = "QLabel { border: 1px solid #7d8591; border-radius: 4px; padding: 3px 6px; }"
_CANNOT_KNOW = (
    "This names differences that were seen; it cannot certify that a study fits. A cohort with a"
    " hidden flaw looks as if everything fitted, and a mixed cohort fits nearly everything."
)


class FitBadge(QLabel):
    """Hidden where there is no analysis to compare a study with."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.show_fit(None)

    def show_fit(self, fit: CohortFit | None) -> None:
        """Show the answer for the study that is explained; None hides the badge."""
        self.setVisible(fit is not None)
        if fit is None:
            self.setText("")
            return
        icon = _NOT_KNOWN if fit.score is None else _NOT_SEEN
        style = _GREY_STYLE
        if fit.outside:
            icon, style = _OUTSIDE, badge_style(*BADGE_COLOURS["wrong"])
        elif fit.unusual:
            icon, style = _UNUSUAL, badge_style(*BADGE_COLOURS["resampled"])
        self.setText(f"{icon} {fit.words}")
        self.setStyleSheet(style)
        self.setToolTip(plain("\n".join([*fit.reasons, *_numbers(fit), *fit.notes, _CANNOT_KNOW])))


def _numbers(fit: CohortFit) -> list[str]:
    if fit.score is None:
        return []
    words = f"Score {fit.score:.2f}: 1 is the distance within which 95 % of the reference lie."
    if fit.percentile is not None:
        words += f" {fit.percentile:.0f} % of the {fit.reference_words} lie nearer."
    return [words]
