"""The features of the model by importance: switch them, and see what the answer rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableView,
    QVBoxLayout,
)

from napari_ifa.viewer.panels.feature_table import (
    CONTRIBUTION,
    FEATURE,
    IMPORTANCE,
    ORDERS,
    BarDelegate,
    FeatureTable,
)
from napari_ifa.viewer.panels.panel import Panel
from napari_ifa.viewer.panels.widgets import button, choice, fill, line, percent_slider, plain

if TYPE_CHECKING:
    import napari

    from napari_ifa.analysis import Explanation, FeatureMask

#: Milliseconds without a move of the slider before the picture follows.
_DEBOUNCE = 30
#: Share of the features that counts as the class's principal ones.
PRINCIPAL_PERCENT = 5


class ImportancePanel(Panel):
    """Table of features with check boxes, the top-percent slider and the buttons for sets."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._build()
        self.listen(self.session.explanation_changed, self._show)
        self.listen(self.session.analysis_changed, self._show)
        self.listen(self.session.mask_changed, self._show_mask)
        self._show()

    # ----------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.model = FeatureTable()
        self.model.setParent(self)
        self.model.toggled.connect(self._toggle)
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setItemDelegateForColumn(IMPORTANCE, BarDelegate(self))
        self.table.setItemDelegateForColumn(CONTRIBUTION, BarDelegate(self))
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setShowGrid(False)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(FEATURE, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(FEATURE, 74)
        header.setSectionResizeMode(IMPORTANCE, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(CONTRIBUTION, QHeaderView.ResizeMode.Stretch)
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self._sort_by_header)

        self.summary = line()
        # A long name of a class must not make the window wider than the screen.
        self.summary.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.order = choice("What the rows are sorted by, and what the slider takes the top of")
        self.order.addItems(ORDERS)
        self.order.currentTextChanged.connect(self._sort)
        self.basis = choice(
            "Whose contributions the importance is the mean of: every case of the cohort,"
            " or only those that truly have the class",
            ("all cases", "all"),
            ("cases of the class", "true"),
        )
        self.basis.currentIndexChanged.connect(self._choose_basis)
        self._debounce = QTimer(self)
        self._debounce.setSingleShot(True)
        self._debounce.setInterval(_DEBOUNCE)
        self._debounce.timeout.connect(self._keep_top)
        self.slider, self.percent = percent_slider(
            1, "Keep only this share of the features, from the top of the order", self._slide
        )
        with QSignalBlocker(self.slider):
            self.slider.setValue(100)
        self.percent.setText("100 %")
        self.buttons = {
            text: button(text, tip, slot)
            for text, tip, slot in (
                ("All", "Keep every feature", self._keep_all),
                ("None", "Take every feature away", self._keep_none),
                ("Invert", "Swap kept and taken away", self._invert),
                (
                    "Principal",
                    f"Keep only the {PRINCIPAL_PERCENT} % most important features of the class",
                    self._keep_principal,
                ),
                (
                    "Others",
                    f"Take the {PRINCIPAL_PERCENT} % most important features of the class away",
                    lambda: self._keep_principal(inverted=True),
                ),
            )
        }
        self.pin = QCheckBox("keep for the next studies")
        self.pin.setToolTip(
            "Explain the next studies with the features that are chosen now; otherwise each study"
            " opens with all features"
        )
        self.pin.setChecked(self.session.features_pinned)
        self.pin.toggled.connect(self.session.pin_features)
        self._lay_out()

    def _lay_out(self) -> None:
        choices = QGridLayout()
        choices.setColumnStretch(1, 1)
        choices.addWidget(QLabel("sort by"), 0, 0)
        choices.addWidget(self.order, 0, 1)
        choices.addWidget(QLabel("mean over"), 1, 0)
        choices.addWidget(self.basis, 1, 1)
        top = fill(QHBoxLayout(), self.slider, self.percent, wide=self.slider)
        choices.addWidget(QLabel("keep top"), 2, 0)
        choices.addLayout(top, 2, 1)
        row = fill(QHBoxLayout(), *self.buttons.values())
        row.setSpacing(4)
        below = fill(QHBoxLayout(), self.summary, self.pin, wide=self.summary)
        fill(QVBoxLayout(self), choices, row, below, self.table, wide=self.table, margin=6)

    # ---------------------------------------------------------------- showing

    def _show(self, _: Any = None) -> None:
        explanation = self.session.explanation
        for widget in (self.order, self.slider, self.table, *self.buttons.values()):
            widget.setEnabled(explanation is not None)
        self.basis.setEnabled(self.session.importance() is not None)
        with QSignalBlocker(self.basis):
            self.basis.setCurrentIndex(self.basis.findData(self.session.importance_kind))
        if explanation is None:
            self.model.show(np.zeros(0, dtype=bool), None, None)
            self._summarise("No features: nothing is explained.")
            return
        importance = self.session.importance()
        self.model.show(explanation.mask.keep, importance, explanation.contributions)
        self._show_mask(explanation)

    def _show_mask(self, explanation: Explanation) -> None:
        mask = explanation.mask
        self.model.set_keep(mask.keep)
        # The bars of the other columns are paler where the feature is off.
        self.table.viewport().update()
        name = explanation.class_names[explanation.class_idx]
        self._summarise(f"{mask.count} of {mask.keep.size} features kept, for {name}")
        self._follow(mask)

    def _summarise(self, text: str) -> None:
        self.summary.setText(text)
        self.summary.setToolTip(plain(text))

    def _follow(self, mask: FeatureMask) -> None:
        """The slider stands where a choice of the top features stands; a hand-made one has none."""
        if self._debounce.isActive():
            return
        top = self.model.sort_key()
        percent = 100
        if top is not None and 0 < mask.count < mask.keep.size:
            order = np.argsort(-top, kind="stable")
            is_top = bool(mask.keep[order[: mask.count]].all())
            percent = round(100 * mask.count / mask.keep.size) if is_top else 0
        is_share = percent > 0 and mask.count > 0
        with QSignalBlocker(self.slider):
            self.slider.setValue(percent if is_share else self.slider.value())
        self.percent.setText(f"{percent} %" if is_share else "–")

    # ---------------------------------------------------------------- choosing

    def _toggle(self, feature: int, kept: bool) -> None:
        mask = self.session.mask
        if mask is None:
            return
        from napari_ifa.analysis import FeatureMask

        keep = mask.keep.copy()
        keep[feature] = kept
        self.session.set_mask(FeatureMask(keep))

    def _sort(self, order: str) -> None:
        self.model.order_by(order)
        self.table.scrollToTop()

    def _sort_by_header(self, column: int) -> None:
        if column == FEATURE:
            self.model.sort(FEATURE)
            return
        order = ORDERS[0] if column == IMPORTANCE else ORDERS[2]
        if self.order.currentText() == order:
            self._sort(order)
        self.order.setCurrentText(order)

    def _choose_basis(self) -> None:
        self.session.choose_importance(self.basis.currentData())
        self._show()

    def _slide(self, percent: int) -> None:
        self.percent.setText(f"{percent} %")
        self._debounce.start()

    def _keep_top(self) -> None:
        self._keep_share(self.model.sort_key(), self.slider.value() / 100)

    def _keep_share(self, key: Any, share: float, inverted: bool = False) -> None:
        from napari_ifa.analysis import FeatureMask
        from napari_ifa.errors import IfaError

        if self.session.explanation is None or key is None:
            return
        try:
            mask = FeatureMask.top(key, share)
        except IfaError as error:
            self.session.say("error", str(error))
            return
        self.session.set_mask(mask.inverted() if inverted else mask)

    def _keep_all(self) -> None:
        from napari_ifa.analysis import FeatureMask

        self.session.set_mask(FeatureMask.all(self.model.rowCount()))

    def _keep_none(self) -> None:
        from napari_ifa.analysis import FeatureMask

        self.session.set_mask(FeatureMask.none(self.model.rowCount()))

    def _invert(self) -> None:
        mask = self.session.mask
        if mask is not None:
            self.session.set_mask(mask.inverted())

    def _keep_principal(self, _: bool = False, *, inverted: bool = False) -> None:
        """By the cohort's importance, whatever the rows are sorted by; else by the case."""
        values, explanation = self.session.importance(), self.session.explanation
        if values is None and explanation is not None:
            values = explanation.contributions
        self._keep_share(values, PRINCIPAL_PERCENT / 100, inverted)
