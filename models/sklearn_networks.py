"""Hold networks and linear models that skl2onnx exported against scikit-learn and onnxruntime. `make interop` runs it.

    python models/sklearn_networks.py [--program bin/interop] [--keep DIR] [--fixtures] [NAME ...]

The columns of the table are explained in referee.py. The loss is what scikit-learn's own predict_proba or predict gives in double
precision with the file's weights, or the Softmax of decision_function, and its gradient the central differences of that, good to about 1e-9. The columns float32 and
single are against these; single rounds the weights at each step. --fixtures records the networks in runner/testdata/networks
instead; see recording.py. skl2onnx 1.20.0 puts an MLPRegressor's several values into one column, so none is here. Versions: scikit-learn 1.9.1, skl2onnx 1.20.0. Exit status 1 if anything disagreed.
"""
import copy
import dataclasses
import tempfile
import pathlib
import warnings

import numpy as np
import onnx
import skl2onnx
from scipy import special
from sklearn import decomposition, impute, linear_model, neural_network, pipeline, preprocessing

import recording
import referee

warnings.simplefilter("ignore")
SAMPLES, FEATURES = 12, 5
STEP = 1e-5  # of the differences


@dataclasses.dataclass
class Case:
    model: object
    x: np.ndarray
    y: np.ndarray  # classes, values, or a 0 or 1 for each label
    loss: str
    output: str  # of the file
    options: dict = dataclasses.field(default_factory=dict)
    rate: float = 0.05

    def value(self, model, x):
        """The loss as the program has it."""
        if self.loss == "mse":
            return np.mean((model.predict(x).reshape(self.target().shape) - self.y.reshape(self.target().shape)) ** 2)
        p = model.predict_proba(x) if hasattr(model, "predict_proba") else special.softmax(model.decision_function(x), 1)
        if self.loss == "bce":
            return -np.mean(np.where(self.y == 1, np.log(p), np.log1p(-p)))
        return -np.mean(np.log(p[np.arange(len(p)), self.target()]))

    def target(self):
        if self.loss == "cross-entropy":
            return np.searchsorted(np.unique(self.y), self.y)
        return self.y.reshape(len(self.y), -1).astype(np.float32)


def rounded(x):
    return x.astype(np.float32).astype(np.float64)


def data(rng, kind):
    x = rng.standard_normal((SAMPLES, FEATURES)).astype(np.float32)
    k = np.arange(SAMPLES)
    return x, {"three": 3 + k % 3, "two": k % 2, "names": np.array(["ant", "bee", "cat"])[k % 3], "labels": (rng.random((SAMPLES, 3)) < 0.5).astype(int),
               "value": rounded(rng.standard_normal(SAMPLES)), "values": rounded(rng.standard_normal((SAMPLES, 2)))}[kind]


def weights(model):
    """The last step's weights, which may be written to."""
    last = model[-1] if isinstance(model, pipeline.Pipeline) else model
    if hasattr(last, "coefs_"):
        return [*last.coefs_, *last.intercepts_]
    return [last.coef_, last.intercept_]


def moved(model):
    """With weights in double precision, and away from the minimum, where the gradient would be 0."""
    last = model[-1] if isinstance(model, pipeline.Pipeline) else model
    wide = lambda w: np.array(w, np.float64, order="C")
    for name in ("coef_", "intercept_", "coefs_", "intercepts_"):
        if hasattr(last, name):
            w = getattr(last, name)
            setattr(last, name, [wide(v) for v in w] if isinstance(w, list) else np.atleast_1d(wide(w)))
    for w in weights(model):
        w += 0.3 * np.random.default_rng(w.size).standard_normal(w.shape)
    return model


def classifier(model, kind, zipmap=False, loss="cross-entropy"):
    x, y = data(np.random.default_rng(0), kind)
    return Case(moved(model.fit(x, y)), x, y, loss, "output_probability" if zipmap else "probabilities", {} if zipmap else {"zipmap": False})


def regressor(model, kind):
    x, y = data(np.random.default_rng(0), kind)
    return Case(moved(model.fit(x, y)), x, y, "mse", "variable")


MLPC = lambda **o: neural_network.MLPClassifier(hidden_layer_sizes=(8, 6), max_iter=20, random_state=0, **o)
MLPR = lambda **o: neural_network.MLPRegressor(hidden_layer_sizes=(8, 6), max_iter=20, random_state=0, **o)
LR = linear_model.LogisticRegression
cases = {
    "MLPClassifier": lambda: classifier(MLPC(activation="tanh"), "three"),
    "MLPClassifier of two classes": lambda: classifier(MLPC(activation="logistic"), "two"),
    "MLPClassifier of names": lambda: classifier(MLPC(activation="relu"), "names"),
    "MLPClassifier of labels": lambda: classifier(MLPC(activation="tanh"), "labels", loss="bce"),
    "MLPRegressor": lambda: regressor(MLPR(activation="relu"), "value"),
    "LogisticRegression": lambda: classifier(LR(), "three"),
    "LogisticRegression of two classes": lambda: classifier(LR(), "two"),
    "LogisticRegression of names, ZipMap": lambda: classifier(LR(), "names", zipmap=True),
    "RidgeClassifier": lambda: classifier(linear_model.RidgeClassifier(), "three"),
    "LinearRegression": lambda: regressor(linear_model.LinearRegression(), "value"),
    "Ridge of two values": lambda: regressor(linear_model.Ridge(), "values"),
    "StandardScaler, LogisticRegression": lambda: classifier(pipeline.make_pipeline(preprocessing.StandardScaler(), LR()), "three"),
    "StandardScaler, MLPClassifier": lambda: classifier(pipeline.make_pipeline(preprocessing.StandardScaler(), MLPC(activation="tanh")), "two"),
    "SimpleImputer, MinMaxScaler, MLPRegressor": lambda: regressor(
        pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.MinMaxScaler(), MLPR(activation="tanh")), "value"),
    "Normalizer, PCA, Ridge": lambda: regressor(
        pipeline.make_pipeline(preprocessing.Normalizer(), decomposition.PCA(3), linear_model.Ridge()), "value"),
}


def export(case, path):
    last = case.model[-1] if isinstance(case.model, pipeline.Pipeline) else case.model
    options = {id(last): case.options} if hasattr(last, "predict_proba") and case.options else None
    model = skl2onnx.to_onnx(case.model, case.x[:1], options=options)
    for i in range(len(model.opset_import))[::-1]:  # skl2onnx may say the same twice
        if any(o.domain == model.opset_import[i].domain for o in model.opset_import[:i]):
            del model.opset_import[i]
    if case.loss == "bce":
        model.graph.output[0].type.tensor_type.shape.dim.add()  # it is said to have one axis, and has two
    onnx.save(model, path)


def match(model, tensors, names):
    """The weights by the names of the file's tensors. Of two classes that have one row of coefficients,
    the file has its negative in front."""
    found = {}
    for name in names:
        a = tensors[name]
        fit = [w for w in weights(model) if a.size in (w.size, 2 * w.size) and np.allclose(w.ravel(), a.ravel()[-w.size:], rtol=1e-5, atol=1e-7)]
        if len(fit) != 1:
            raise RuntimeError(f"{name} {list(a.shape)} is {len(fit)} of the model's weights")
        found[name] = fit[0]
    if len(found) != len(weights(model)):
        raise RuntimeError(f"{sorted(found)} are not all weights")
    return found


def differences(case, model, found):
    gradients = {}
    for name, w in found.items():
        flat, g = w.reshape(-1), np.empty(w.size)
        assert np.shares_memory(flat, w)
        for i in range(flat.size):
            at = flat[i]
            flat[i] = at + STEP
            up = case.value(model, case.x.astype(np.float64))
            flat[i] = at - STEP
            g[i] = (up - case.value(model, case.x.astype(np.float64))) / (2 * STEP)
            flat[i] = at
        gradients[name] = g
    return gradients


def train(case, tensors, names, dtype):
    """The weights after STEPS of SGD, in the form of the file, and loss and gradient of the first."""
    model, first = copy.deepcopy(case.model), None
    found = match(model, tensors, names)
    for name, w in found.items():
        w[...] = tensors[name].ravel()[-w.size:].reshape(w.shape)
    for _ in range(referee.STEPS):
        loss, gradients = case.value(model, case.x.astype(np.float64)), differences(case, model, found)
        if first is None:
            first = loss, {n: g.reshape(shape(n, tensors[n], found[n])) for n, g in gradients.items()}
        for name, w in found.items():
            w[...] = (w - case.rate * gradients[name].reshape(w.shape)).astype(dtype)
    return {n: whole(tensors[n], w) for n, w in found.items()}, *first


def shape(name, a, w):
    """Of the weight w that the file's tensor a of that name holds."""
    if "." not in name:
        return a.shape
    return (-1, w.shape[-1]) if name.endswith("coefficients") else (-1,)


def whole(a, w):
    """The weight in the form of the file's tensor a."""
    return (w if w.size == a.size else np.concatenate([-w.ravel(), w.ravel()])).reshape(a.shape)


def reference(case, tensors, names):
    double, loss, gradients = train(case, tensors, names, np.float64)
    single, _, _ = train(case, tensors, names, np.float32)
    return referee.Reference(loss, gradients, {n: tensors[n].astype(np.float64) for n in names}, double, single)


def check(entry, program, dir):
    """The numbers of one row of the table."""
    case, path = entry(), dir / "model.onnx"
    export(case, path)
    tensors = referee.tensors(onnx.load(path))
    return referee.compare(program, path, dir, {"X": case.x}, case.target(), lambda names: reference(case, tensors, names), case.loss, case.rate, case.output)


def record(name, entry):
    case = entry()
    with tempfile.TemporaryDirectory() as dir:
        path = pathlib.Path(dir) / "model.onnx"
        export(case, path)
        model, outputs = onnx.load(path), referee.run_runtime(path, {"X": case.x})
    tensors = referee.tensors(model)
    names = [n for n, a in tensors.items() if any(k in n.lower() for k in ("coef", "intercept"))]
    want = reference(case, tensors, names)
    stem = "sklearn_" + name.lower().replace(",", "").replace(" ", "_")
    recording.write(stem, model, [case.x], case.target(), case.loss, want.loss, want.gradients, outputs[-1], case.output)


def main():
    args = referee.arguments(__doc__)
    args.add_argument("--fixtures", action="store_true")
    args = args.parse_args()
    if args.fixtures:
        for name, entry in cases.items():
            record(name, entry)
        return
    referee.table(args, ((name, "skl2onnx", lambda program, dir: check(entry, program, dir)) for name, entry in cases.items()))


if __name__ == "__main__":
    main()
