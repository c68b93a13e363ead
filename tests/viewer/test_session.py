"""What follows when something is opened or chosen, without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ifa.analysis import FeatureMask, analyze, load_analysis
from napari_ifa.analysis.scale import READING
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import Cancelled, IfaError, UntrustedModelError
from napari_ifa.reading import read_volume
from napari_ifa.viewer.state.exporting import ExportFormat, Shown
from napari_ifa.viewer.state.session import Session
from tests.tiny import TinyNetwork, tiny_classifier, write_cohort, write_image

VALUES = [1, 2, 3, 4, 5, 6, 7, 8]


class Runner:
    """Does the work at once, or when it is told to; remembers what it was asked for."""

    def __init__(self, hold=()):
        self.hold, self.held, self.titles = set(hold), [], []

    def start(self, title, work, done, failed, *, key, lane="main"):
        self.titles.append(title)
        if title in self.hold:
            self.held.append((work, done, failed))
        else:
            self._do(work, done, failed)

    def release(self):
        self.hold.clear()
        while self.held:
            self._do(*self.held.pop(0))

    @staticmethod
    def post(call):
        call()

    @staticmethod
    def _do(work, done, failed):
        try:
            outcome = work(lambda done, total: None, lambda: False)
        except IfaError as error:
            failed(error)
        else:
            done(outcome)


class Heard:
    """Everything a session says."""

    def __init__(self, session):
        self.sentences, self.explanations, self.masks, self.predictions = [], [], [], []
        self.series = []
        session.said.connect(lambda kind, text, about: self.sentences.append((kind, text)))
        session.explanation_changed.connect(self.explanations.append)
        session.mask_changed.connect(self.masks.append)
        session.prediction_changed.connect(self.predictions.append)
        session.browser.series_changed.connect(self.series.append)


@pytest.fixture
def session():
    runner = Runner()
    session = Session(runner)
    session.runner = runner
    session.heard = Heard(session)
    return session


@pytest.fixture
def volume(tmp_path):
    return read_volume(write_image(tmp_path / "case.nii", VALUES))


@pytest.fixture
def analysis(tmp_path):
    cohort = write_cohort(tmp_path, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)])
    return analyze(tiny_classifier(), read_cohort(cohort))


@pytest.fixture
def explained(session, volume, analysis):
    session.set_analysis(analysis)
    session.set_classifier(tiny_classifier())
    session.set_volume(volume)
    return session


def test_explanation_needs_a_study_and_a_model(session, volume):
    session.set_volume(volume)
    assert session.explanation is None
    session.set_classifier(tiny_classifier())
    # Mean 4.5: logits 10 + 4.5 and 20 + 0.5 · 4.5 − 2 · 4.5.
    np.testing.assert_allclose(session.prediction.logits, [14.5, 13.25])
    assert session.explanation.class_idx == 0
    assert session.explanation.scale is None


def test_an_analysis_brings_the_common_scale(session, volume, analysis):
    session.set_volume(volume)
    session.set_classifier(tiny_classifier())
    session.set_analysis(analysis)
    others = analysis.of_target("others")
    assert session.explanation.scale == others.scaled(0, READING)
    np.testing.assert_allclose(session.importance(), others.importance(0))
    session.choose_importance("true")
    np.testing.assert_allclose(session.importance(), others.importance(0, "true"))


def test_contributions_are_of_the_class_on_show(explained):
    # Of two classes each is compared with the other: weights 1 - ½ and 0 - 2.
    np.testing.assert_allclose(explained.explanation.contributions, [2.25, 9.0])
    explained.select_class(1)
    np.testing.assert_allclose(explained.explanation.contributions, [-2.25, -9.0])
    explained.compare_with("logit")
    np.testing.assert_allclose(explained.explanation.contributions, [2.25, -9.0])


def test_a_mask_changes_picture_and_prediction_at_once(explained):
    explained.runner.titles.clear()
    explained.set_mask(FeatureMask.only(2, [1]))
    np.testing.assert_allclose(explained.prediction.masked_logits, [10.0, 11.0])
    np.testing.assert_allclose(explained.prediction.logits, [14.5, 13.25])
    assert explained.prediction.masked_probabilities.argmax() == 1
    assert explained.heard.masks[-1].mask.count == 1
    assert explained.runner.titles == ["Following the features"]  # and no "Predicting"


def test_a_path_around_the_layer_is_said_once_for_a_model(session, volume):
    class Around(TinyNetwork):
        def forward(self, x):
            return super().forward(x) + x.mean((2, 3, 4))

    session.set_volume(volume)
    session.set_classifier(replace(tiny_classifier(), network=Around().eval()))
    assert not session.heard.sentences
    for kept in ([1], [0]):
        session.set_mask(FeatureMask.only(2, kept))
    ((kind, sentence),) = session.heard.sentences
    assert kind == "note"
    assert sentence.startswith("Part of the answer goes around the layer 'features'")


def test_a_layer_that_is_zero_for_the_image_is_said(session, tmp_path):
    session.set_volume(read_volume(write_image(tmp_path / "zero.nii", [0] * 8)))
    session.set_classifier(tiny_classifier())
    ((kind, sentence),) = session.heard.sentences
    assert kind == "note"
    assert sentence.startswith("Every feature of layer 'features' is exactly zero in this image")


def test_no_path_around_the_layer_is_no_news(explained):
    explained.set_mask(FeatureMask.only(2, [1]))
    assert not explained.heard.sentences


def test_a_head_that_is_not_affine_predicts_in_a_job(session, volume):
    session.runner.hold = {"Predicting"}
    session.set_volume(volume)
    session.set_classifier(tiny_classifier(bent=True))
    session.set_mask(FeatureMask.only(2, [1]))
    assert session.prediction.masked_logits is None
    assert session.heard.masks[-1].mask.count == 1
    session.runner.release()
    # The only feature left is −4.5 on average, which the ReLU of the head makes 0.
    np.testing.assert_allclose(session.prediction.masked_logits, [10.0, 20.0])


def test_pinned_features_are_kept_while_the_network_works(explained, tmp_path):
    explained.pin_features(True)
    explained.set_mask(FeatureMask.without(2, [0]))
    other = read_volume(write_image(tmp_path / "other.nii", VALUES[::-1]))
    explained.runner.hold = {"Explaining"}
    explained.set_volume(other)
    assert explained.explanation is None
    explained.runner.release()
    assert explained.mask.keep.tolist() == [False, True]


def test_another_study_is_explained_for_its_predicted_class(explained, tmp_path):
    explained.select_class(1)
    other = read_volume(write_image(tmp_path / "other.nii", VALUES[::-1]))
    explained.set_volume(other)
    assert explained.explanation.class_idx == 0


def test_an_analysis_of_another_model_is_refused(session, analysis):
    session.set_classifier(tiny_classifier(bent=True))
    session.adopt(analysis)
    assert session.analysis is None
    assert session.heard.sentences[-1][0] == "error"


def test_another_model_closes_the_analysis(explained):
    explained.set_classifier(tiny_classifier(bent=True))
    assert explained.analysis is None
    assert explained.explanation.scale is None
    assert explained.heard.sentences[-1][0] == "note"


def test_a_folder_with_one_study_opens_it(session, tmp_path):
    write_image(tmp_path / "case.nii", VALUES)
    session.open_path(tmp_path)
    assert session.volume.shape == (2, 2, 2)


def test_a_folder_with_several_studies_asks(session, tmp_path):
    for name in ("a.nii", "b.nii"):
        write_image(tmp_path / name, VALUES)
    session.open_path(tmp_path)
    assert session.volume is None
    assert len(session.heard.series[-1]) == 2
    assert session.heard.sentences == [("note", "2 series found: choose one to open.")]
    session.browser.open_series(session.browser.series[1])
    assert session.volume is not None


def test_what_cannot_be_opened_is_said(session, tmp_path):
    session.open_path(tmp_path / "nowhere")
    assert session.heard.sentences == [
        ("error", "There is no such file or folder; check the path of the study.")
    ]


def test_a_bundle_that_would_run_code_is_asked_about(session, monkeypatch, tmp_path):
    loaded = []

    def load_classifier(path, trust=False, **how):
        loaded.append((trust, how))
        if not trust:
            raise UntrustedModelError("It would run os.system.")
        return tiny_classifier()

    monkeypatch.setattr("napari_ifa.models.load_classifier", load_classifier)
    asked = []
    session.models.trust_wanted.connect(lambda *values: asked.append(values))
    session.models.load(tmp_path, told="sigmoid", layer="conv", device=None)
    assert asked == [(tmp_path, "It would run os.system.")]
    assert session.classifier is None
    session.models.trust()
    asked_for = {"output_activation": "sigmoid", "layer": "conv"}
    assert loaded == [(False, asked_for), (True, asked_for)]
    assert session.classifier is not None


def test_an_analysis_that_was_run_waits_to_be_saved(session, monkeypatch, tmp_path):
    monkeypatch.setattr("napari_ifa.models.load_classifier", lambda *a, **k: tiny_classifier())
    cohort = write_cohort(tmp_path, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)])
    session.models.load(tmp_path)
    session.run_analysis(cohort, "training", "gradcam")
    assert not session.analysis_is_saved
    session.save_analysis(tmp_path / "analysis.nc")
    assert session.analysis_is_saved
    session.set_analysis(None)
    session.analyses.load(tmp_path / "analysis.nc")
    assert session.analysis.cases.sizes["case"] == 2


def test_an_analysis_that_ends_after_another_model_was_opened_can_still_be_saved(
    session, analysis, monkeypatch, tmp_path
):
    monkeypatch.setattr("napari_ifa.models.load_classifier", lambda *a, **k: tiny_classifier())
    session.runner.hold.add("Analysing the cohort")
    session.models.load(tmp_path)
    session.run_analysis(tmp_path / "datalist.json", None, "gradcam")
    session.set_classifier(tiny_classifier(bent=True))
    session.runner.release()
    assert session.analysis is None
    assert "made with another model" in session.heard.sentences[-1][1]
    session.save_analysis(tmp_path / "kept.nc")
    assert load_analysis(tmp_path / "kept.nc", tiny_classifier()).features == 2
    assert session.pending is None


def another_analysis(folder):
    folder.mkdir()
    cohort = write_cohort(folder, [(VALUES, 1), (VALUES[::-1], 0), ([1] * 8, 0)])
    return analyze(tiny_classifier(), read_cohort(cohort))


def test_two_analyses_are_saved_one_after_the_other_each_in_its_own_file(
    session, analysis, tmp_path
):
    """A second save must not end the first, which may still wait or be at work."""
    other = another_analysis(tmp_path / "other")
    session.runner.hold.add("Saving the analysis")
    keys = []
    start = session.runner.start
    session.runner.start = lambda *a, key, **k: keys.append(key) or start(*a, key=key, **k)
    session.set_analysis(analysis)
    session.save_analysis(tmp_path / "first.nc", analysis)
    session.save_analysis(tmp_path / "second.nc", other)
    session.runner.release()
    assert len(set(keys)) == 2
    assert load_analysis(tmp_path / "first.nc").cases.sizes["case"] == 2
    assert load_analysis(tmp_path / "second.nc").cases.sizes["case"] == 3


def test_what_was_chosen_when_export_was_clicked_is_written(explained, tmp_path):
    """Class, features and study may be others before the file is written."""
    written = []

    class Noted(ExportFormat):
        def write(self, explanation, path, *rest):
            written.append(explanation)
            return [path]

    format_ = Noted("T", ".t", "")
    explained.runner.hold.add("Exporting T")
    chosen = explained.explanation
    explained.export(format_, tmp_path / "a.t", Shown(), chosen)
    explained.select_class(1)
    explained.set_mask(FeatureMask.only(2, [1]))
    explained.export(format_, tmp_path / "b.t", Shown())
    explained.set_volume(None)
    explained.runner.release()
    assert written[0] is chosen
    assert (written[1].class_idx, written[1].mask.keep.tolist()) == (1, [False, True])


def test_what_is_on_the_screen_is_never_of_another_analysis_than_the_named_one(explained, tmp_path):
    explained.runner.hold.add("Explaining")
    other = another_analysis(tmp_path / "other")
    explained.set_analysis(other)
    assert explained.analysis is other
    assert explained.explanation is None, "that of the other one is gone at once"
    explained.runner.release()
    assert explained.explanation.analysis.case_ids == other.case_ids
    assert explained.analysis is other


def test_another_study_opens_with_all_features_unless_they_are_pinned(explained, tmp_path):
    def open_next(name):
        explained.set_volume(read_volume(write_image(tmp_path / name, VALUES)))
        return explained.mask.keep.tolist()

    explained.set_mask(FeatureMask.only(2, [1]))
    assert open_next("second.nii") == [True, True]
    explained.set_mask(FeatureMask.only(2, [1]))
    explained.pin_features(True)
    assert open_next("third.nii") == [False, True]
    explained.pin_features(False)
    assert explained.mask.keep.tolist() == [False, True], "of this study they are a person's"
    assert open_next("fourth.nii") == [True, True]


def test_an_explanation_of_a_study_that_was_closed_meanwhile_is_dropped(session, volume):
    session.runner.hold.add("Explaining")
    session.set_classifier(tiny_classifier())
    session.set_volume(volume)
    session.set_volume(None)
    session.runner.release()
    assert session.explanation is None
    assert session.heard.explanations == []


def test_a_late_prediction_for_other_features_is_dropped(session, volume):
    session.set_classifier(tiny_classifier(bent=True))
    session.set_volume(volume)
    session.runner.hold.add("Predicting")
    session.set_mask(FeatureMask.only(2, [1]))
    session.set_mask(FeatureMask.all(2))
    session.runner.release()
    np.testing.assert_allclose(session.prediction.masked_logits, session.prediction.logits)


def test_a_cohort_without_a_scale_is_said_and_the_raw_map_shown(session, volume, tmp_path):
    (tmp_path / "flat").mkdir()
    flat = write_cohort(tmp_path / "flat", [([0.0] * 8, 0)])
    session.set_analysis(analyze(tiny_classifier(), read_cohort(flat)))
    session.set_classifier(tiny_classifier())
    session.set_volume(volume)
    assert session.explanation.scale is None
    assert "a common scale needs one above 0" in session.heard.sentences[-1][1]


def test_an_analysis_needs_a_model(session, tmp_path):
    session.run_analysis(tmp_path / "cohort.json", None, "gradcam")
    assert session.heard.sentences == [
        ("error", "Load a model first: an analysis is made with one.")
    ]


def test_cancelling_is_a_note_and_no_error(session):
    session.fail(Cancelled("Analysing the cohort: cancelled."))
    assert session.heard.sentences == [("note", "Analysing the cohort: cancelled.")]


@pytest.mark.parametrize("closed", ["study", "model"])
def test_what_goes_wrong_with_a_study_or_model_that_was_closed_is_not_said(
    session, volume, monkeypatch, closed
):
    def explain(*args, **kwargs):
        if closed == "study":
            session.set_volume(None)
        else:
            session.set_classifier(None)
        raise IfaError("something of the last study")

    monkeypatch.setattr("napari_ifa.analysis.explain", explain)
    session.set_classifier(tiny_classifier())
    session.set_volume(volume)
    assert session.heard.sentences == []


# -- missing slices -------------------------------------------------------------------------------

SENTENCE = "1 slice is missing in this study, and the model would see blank ones in their place."


@pytest.fixture
def with_a_gap(volume, monkeypatch):
    """A study that lacks a slice, and what the engine was told about that."""
    from napari_ifa import analysis

    allowed = []
    own = analysis.explain

    def explain(*args, allow_missing=False, **kwargs):
        allowed.append(allow_missing)
        return own(*args, allow_missing=allow_missing, **kwargs)

    monkeypatch.setattr("napari_ifa.analysis.explain", explain)
    return replace(volume, report=replace(volume.report, missing=(1,))), allowed


def test_a_study_with_missing_slices_is_explained_only_with_consent(session, with_a_gap):
    study, allowed = with_a_gap
    asked = []
    session.missing_wanted.connect(asked.append)
    session.set_classifier(tiny_classifier())
    session.set_volume(study)
    assert asked == [SENTENCE]
    assert session.waits_for_consent
    assert allowed == []
    session.answer_missing(True)
    assert allowed == [True]
    assert session.explanation is not None
    assert not session.waits_for_consent


def test_no_is_an_answer_until_the_person_asks_again(session, with_a_gap, analysis):
    study, allowed = with_a_gap
    asked = []
    session.missing_wanted.connect(asked.append)
    session.set_classifier(tiny_classifier())
    session.set_volume(study)
    session.answer_missing(False)
    assert session.heard.sentences[-1] == ("note", f"Not explained: {SENTENCE}")
    session.set_analysis(analysis)
    assert len(asked) == 1
    session.ask_about_missing()
    assert len(asked) == 2
    assert allowed == []


def test_consent_is_for_one_study(session, with_a_gap):
    study, allowed = with_a_gap
    session.set_classifier(tiny_classifier())
    session.set_volume(study)
    session.answer_missing(True)
    session.set_volume(replace(study))
    assert session.waits_for_consent
    assert allowed == [True]


def test_a_whole_study_is_explained_without_a_question(session, volume):
    asked = []
    session.missing_wanted.connect(asked.append)
    session.set_classifier(tiny_classifier())
    session.set_volume(volume)
    assert asked == []
    assert session.explanation is not None
