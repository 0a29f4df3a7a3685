"""Hold Keras networks that tf2onnx exported against TensorFlow and onnxruntime. `make interop KERAS=python` runs it, with a Python of
its own, since TensorFlow asks for other versions of numpy and protobuf than PyTorch.

    python models/keras_networks.py [--program bin/interop] [--keep DIR] [--fixtures] [NAME ...]

    pip install tensorflow-cpu==2.19.1 keras==3.15.1 tf2onnx==1.17.0 onnx==1.22.0 onnxruntime==1.32.0

Exports each network by tf2onnx.convert.from_function, opset 18, and by Keras's own model.export (tf2onnx with opset 15). The columns of
the table are explained in referee.py. --fixtures records the small ones in runner/testdata/networks instead; see recording.py.

tf2onnx exports for inference: BatchNormalization becomes a scale and a shift, or goes into the convolution before it, and so it does
in the reference. There the tensors of the file are the variables: each is found among the model's weights by its numbers, which are all
different, and the model's weights are computed from it. So an LSTM has two biases, as in the file, whose sum is Keras's one.

What tf2onnx 1.17.0 cannot export of Keras 3: an exact GELU (its Erfc is no operator of ONNX), dropout in training mode, and a layer
Normalization such as EfficientNet's, of whose numbers it makes inputs of the network.
"""
import json
import os
import warnings

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
warnings.simplefilter("ignore")

import dataclasses
import logging
import pathlib
import tempfile

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers as L

import recording
import referee

logging.disable(logging.WARNING)
EXPORTS = ("tf2onnx", "model.export")


@dataclasses.dataclass
class Case:
    model: keras.Model
    input: np.ndarray
    target: np.ndarray
    loss: str = "cross-entropy"
    rate: float = 0.05

    def value(self, output):
        if self.loss == "mse":
            return tf.reduce_mean((output - tf.cast(self.target, output.dtype)) ** 2)
        classes = tf.reshape(output, (-1, output.shape[-1]))
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(self.target.reshape(-1), classes))


class Affine(L.Layer):
    """A scale and a shift for each channel, or nothing."""

    def __init__(self, gone=False, **options):
        super().__init__(**options)
        self.gone = gone

    def build(self, shape):
        if self.gone:
            return
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
        self.shift = self.add_weight(shape=(shape[-1],), name="shift")

    def call(self, x, mask=None):
        return x if self.gone else x * self.scale + self.shift


class Gelu(L.Layer):
    """By the hyperbolic tangent: see the module's doc."""

    def call(self, x):
        return keras.activations.gelu(x, approximate=True)


def transformer(symbols=23, steps=8, width=16, heads=2, blocks=2):
    ids = keras.Input((steps,), dtype="int32")
    x = L.Embedding(symbols, width)(ids)
    for _ in range(blocks):
        a = L.LayerNormalization()(x)
        x = L.Add()([x, L.Dropout(0.1)(L.MultiHeadAttention(heads, width // heads)(a, a, use_causal_mask=True))])
        a = Gelu()(L.Dense(2 * width)(L.LayerNormalization()(x)))
        x = L.Add()([x, L.Dense(width)(a)])
    return keras.Model(ids, L.Dense(symbols)(L.LayerNormalization()(x)))


def bottleneck():
    """The block of MobileNetV2 between a convolution and a classifier."""
    image = keras.Input((16, 16, 3))
    norm = lambda x: L.BatchNormalization()(x)
    x = y = L.ReLU(6.0)(norm(L.Conv2D(8, 3, 2, padding="same", use_bias=False)(image)))
    y = L.ReLU(6.0)(norm(L.Conv2D(16, 1, use_bias=False)(y)))
    y = L.ReLU(6.0)(norm(L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)))
    x = L.Add()([x, norm(L.Conv2D(8, 1, use_bias=False)(y))])
    return keras.Model(image, L.Dense(5)(L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))))


def stack(*layers):
    return keras.Sequential(list(layers))


def cnn():
    return stack(keras.Input((12, 12, 3)), L.Conv2D(8, 3, padding="same", activation="relu"), L.BatchNormalization(), L.MaxPooling2D(),
                 L.SeparableConv2D(12, 3, 2, padding="same"), L.BatchNormalization(), L.ReLU(), L.AveragePooling2D(2, padding="same"),
                 L.Conv2D(8, 2), L.ELU(), L.GlobalAveragePooling2D(), L.Dense(5))


def autoencoder():
    return stack(keras.Input((8, 8, 2)), L.Conv2D(6, 3, 2, padding="same", activation="relu"), L.Conv2D(4, 3, 2, padding="same", activation="tanh"),
                 L.Conv2DTranspose(6, 3, 2, padding="same", activation="relu"), L.UpSampling2D(2), L.Conv2D(2, 3, padding="same"))


def language(*recurrent, mask=False):
    return stack(keras.Input((6,), dtype="int32"), L.Embedding(17, 8, mask_zero=mask), *recurrent, L.Dense(17))


def sequences(*recurrent):
    return stack(keras.Input((6, 5)), *recurrent, L.Dense(4))


def tokens(model, batch=3):
    (_, steps), symbols = model.input_shape, model.output_shape[-1]
    shape = (batch, steps) if len(model.output_shape) == 3 else (batch,)
    ids = np.random.randint(1, symbols, (batch, steps))
    return Case(model, ids.astype(np.int32), np.random.randint(symbols, size=shape))


def padded(model):
    """With 0 behind sequences of several lengths, as a mask of Keras's has it."""
    case = tokens(model)
    case.input[np.arange(6) >= np.array([[6], [4], [2]])] = 0
    return case


def vectors(model, batch=4, rate=0.05):
    return Case(model, np.random.standard_normal((batch, *model.input_shape[1:])).astype(np.float32),
                np.random.randint(model.output_shape[-1], size=batch), rate=rate)


def values(model, batch=4):
    x = np.random.standard_normal((batch, *model.input_shape[1:])).astype(np.float32)
    return Case(model, x, np.random.standard_normal((batch, *model.output_shape[1:])).astype(np.float32), "mse")


small = {
    "mlp": lambda: vectors(stack(keras.Input((6,)), L.Dense(12), L.BatchNormalization(), L.Activation("swish"), L.Dropout(0.1), L.Dense(4))),
    "regression": lambda: values(stack(keras.Input((5,)), L.Dense(12, activation="selu"), L.LayerNormalization(), L.Dense(8, activation="softplus"), L.Dense(1))),
    "cnn": lambda: vectors(cnn()),
    "conv1d": lambda: vectors(sequences(L.Conv1D(8, 3, padding="causal", activation="relu"), L.MaxPooling1D(2), L.Conv1D(6, 2), L.LeakyReLU(), L.Flatten())),
    "bottleneck": lambda: vectors(bottleneck()),
    "autoencoder": lambda: values(autoencoder()),
    "lstm": lambda: tokens(language(L.LSTM(12, return_sequences=True), L.LSTM(10, return_sequences=True))),
    "lstm masked": lambda: padded(language(L.LSTM(12), mask=True)),
    "gru": lambda: tokens(language(L.GRU(12, return_sequences=True), L.GRU(10))),
    "gru reset before": lambda: tokens(language(L.GRU(12, return_sequences=True, reset_after=False), L.GRU(10, reset_after=False))),
    "rnn": lambda: vectors(sequences(L.SimpleRNN(7, return_sequences=True), L.SimpleRNN(6))),
    "bidirectional": lambda: vectors(sequences(L.Bidirectional(L.LSTM(7, return_sequences=True)), L.Bidirectional(L.GRU(6)))),
    "transformer": lambda: tokens(transformer()),
}


def small_images(*layers, shape=(8, 8, 3)):
    return vectors(stack(keras.Input(shape), *layers, L.Flatten(), L.Dense(5)))


def steps(*layers):
    return vectors(stack(keras.Input((6, 5)), *layers, L.Flatten(), L.Dense(4)))


def branches(f):
    x = keras.Input((6, 5))
    return vectors(keras.Model(x, L.Dense(4)(L.Flatten()(f(x)))))


def states(x):
    y, h, c = L.LSTM(7, return_sequences=True, return_state=True)(x)
    return L.Concatenate()([L.Flatten()(y), h, c])


def translation(x):
    _, h, c = L.LSTM(7, return_state=True)(x)
    return L.LSTM(7, return_sequences=True)(L.Dense(3)(x), initial_state=[h, c])


def merged(x):
    other = lambda n, **o: L.Dense(n, **o)(x)
    return L.Concatenate()([L.Multiply()([other(6), other(6, activation="sigmoid")]), L.Subtract()([x, other(5)]), L.Maximum()([x, other(5)]),
                            L.Average()([x, other(5)])])


# Layers of Keras, by what they need the loader and the operators for.
layers = {
    "dilation": lambda: small_images(L.Conv2D(6, 3, dilation_rate=2, padding="same"), L.Conv2D(4, 2)),
    "padding, cropping": lambda: small_images(L.Conv2D(6, 3, 2, activation="mish"), L.ZeroPadding2D(1), L.Cropping2D(1), L.GlobalMaxPooling2D()),
    "depthwise with a multiplier": lambda: small_images(L.DepthwiseConv2D(3, 2, depth_multiplier=2, padding="same")),
    "3-D": lambda: small_images(L.Conv3D(4, 3, padding="same"), L.Conv3D(4, 2, 2), shape=(4, 6, 6, 2)),
    "transposed 1-D": lambda: steps(L.Conv1DTranspose(4, 3, 2, padding="same")),
    "transposed 2-D": lambda: small_images(L.Conv2DTranspose(4, 3, 2), shape=(4, 4, 2)),
    "transposed 3-D": lambda: small_images(L.Conv3DTranspose(3, 2, 2), shape=(2, 3, 3, 2)),
    "separable 1-D": lambda: steps(L.SeparableConv1D(6, 3, padding="same")),
    "bilinear": lambda: small_images(L.Conv2D(3, 3), L.UpSampling2D(2, interpolation="bilinear")),
    "resizing": lambda: small_images(L.Conv2D(3, 3), L.Resizing(5, 7)),
    "rescaling": lambda: small_images(L.Rescaling(1 / 255, offset=-1), L.Conv2D(4, 3)),
    "group norm": lambda: small_images(L.Conv2D(6, 3), L.GroupNormalization(3)),
    "layer norm of three axes": lambda: small_images(L.LayerNormalization(axis=(1, 2, 3)), shape=(4, 4, 3)),
    "unit norm": lambda: steps(L.Dense(6), L.UnitNormalization()),
    "RMS norm": lambda: steps(L.Dense(6), L.RMSNormalization()),
    "batch norm without scale or shift": lambda: small_images(L.Conv2D(4, 3), L.BatchNormalization(center=False), L.Conv2D(4, 3, use_bias=False), L.BatchNormalization(scale=False)),
    "activations": lambda: steps(*[L.Dense(6, activation=a) for a in ("selu", "hard_sigmoid", "softsign", "exponential", "hard_swish", "leaky_relu", "log_softmax")]),
    "attention": lambda: branches(lambda x: L.Attention()([L.Dense(6)(x), L.Dense(6)(x)])),
    "additive attention": lambda: branches(lambda x: L.AdditiveAttention()([L.Dense(6)(x), L.Dense(6)(x)])),
    "cross attention": lambda: branches(lambda x: L.MultiHeadAttention(2, 4, value_dim=3, output_shape=6, dropout=0.1)(x, L.Dense(5)(x))),
    "grouped queries": lambda: branches(lambda x: L.GroupQueryAttention(4, 4, 2)(x, x)),
    "time-distributed": lambda: small_images(L.TimeDistributed(L.Conv2D(4, 3)), shape=(3, 6, 6, 2)),
    "permute, reshape": lambda: steps(L.TimeDistributed(L.Dense(6, activation="tanh")), L.Permute((2, 1)), L.Reshape((3, 12))),
    "states of an LSTM": lambda: branches(states),
    "encoder and decoder": lambda: branches(translation),
    "backwards": lambda: steps(L.LSTM(6, go_backwards=True, return_sequences=True), L.GRU(5, go_backwards=True)),
    "LSTM of other activations": lambda: steps(L.LSTM(6, activation="relu", recurrent_activation="hard_sigmoid", use_bias=False, return_sequences=True)),
    "unrolled": lambda: steps(L.LSTM(6, unroll=True)),
    "convolutional LSTM": lambda: small_images(L.ConvLSTM2D(3, 3, padding="same"), shape=(3, 5, 5, 2)),
    "cells": lambda: steps(L.RNN([L.LSTMCell(6), L.GRUCell(5)], return_sequences=True)),
    "sum of directions": lambda: steps(L.Bidirectional(L.LSTM(5, return_sequences=True), merge_mode="sum")),
    "masking": lambda: steps(L.Masking(0.0), L.LSTM(6)),
    "branches": lambda: branches(merged),
    "dot": lambda: branches(lambda x: L.Dot(axes=2)([L.Dense(6)(x), L.Dense(6)(x)])),
    "noise": lambda: steps(L.GaussianNoise(0.1), L.Dense(4), L.SpatialDropout1D(0.1), L.AlphaDropout(0.1)),
}
apps = keras.applications
images = dict(weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None)
full = small | layers | {
    "MobileNetV2": lambda: vectors(apps.MobileNetV2(**images), rate=1e-3),
    "ResNet50V2": lambda: vectors(apps.ResNet50V2(**images), rate=1e-3),
}


def make(entry):
    """The case with random numbers in every weight, because the exporter joins equal tensors and leaves out zeros and ones."""
    keras.utils.set_random_seed(0)
    case = entry()
    for w in case.model.weights:
        if w.dtype.startswith("float"):
            noise = np.random.rand(*w.shape) if "var" in w.name else np.random.standard_normal(w.shape)
            scale = 0.1 * (np.std(w) if len(w.shape) > 1 and np.any(w) else 1)
            w.assign(w + scale * noise)
    case.model(case.input)  # model.export asks for it
    return case


def export(case, how, path):
    if how == "model.export":
        case.model.export(path, format="onnx", verbose=False)
        return
    signature = [tf.TensorSpec((None, *case.model.input_shape[1:]), case.model.inputs[0].dtype, name="input")]
    call = tf.function(lambda x: case.model(x, training=False), input_signature=signature)
    tf2onnx.convert.from_function(call, input_signature=signature, opset=18, output_path=str(path))


def folded(norm):
    """BatchNormalization as scale and shift."""
    get = lambda w, default: default if w is None else np.asarray(w, np.float64)
    scale = get(norm.gamma, 1) / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    return scale, get(norm.beta, 0) - np.asarray(norm.moving_mean, np.float64) * scale


def convolution_before(norm):
    """The convolution that a BatchNormalization may have gone into."""
    before = norm.input._keras_history.operation
    linear = lambda l: isinstance(l, L.Conv2D) and not isinstance(l, L.Conv2DTranspose) and l.activation is keras.activations.linear
    return before if linear(before) and len(before._outbound_nodes) == 1 else None


def reference(model, tensors, dtype):
    """The model in that type, with its BatchNormalizations as the file has them."""
    flat = {}
    for a in tensors.values():
        flat.setdefault(a.size, []).append(a.ravel())
    weights, gone = {}, set()
    for norm in model.layers:
        if not isinstance(norm, L.BatchNormalization):
            continue
        scale, shift = folded(norm)
        weights[norm.name] = [scale, shift]
        conv = convolution_before(norm)
        if conv is not None:
            kernel, *bias = conv.get_weights()
            kernel = kernel * scale
            if any(np.allclose(a, oihw(kernel).ravel(), rtol=1e-4, atol=1e-6) for a in flat.get(kernel.size, [])):
                weights[conv.name], weights[norm.name] = [kernel, (bias[0] * scale if bias else 0) + shift], []
                gone.add(norm.name)

    def clone(layer):
        if layer.name in gone:
            return Affine(dtype=dtype, name=layer.name, gone=True)
        if isinstance(layer, L.BatchNormalization):
            return Affine(dtype=dtype, name=layer.name)
        config = json.loads(json.dumps(layer.get_config()).replace("float32", dtype))
        if layer.name in weights:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(weights.get(layer.name, layer.get_weights()))
    return copy


def oihw(kernel):
    """A kernel of Keras's (height, width, in, out), or of a transposed convolution (height, width, out, in), in ONNX's order."""
    return kernel.transpose(*range(kernel.ndim - 1, kernel.ndim - 3, -1), *range(kernel.ndim - 2))


def gates(a):
    """The last axis from Keras's order i f c o to the rows of ONNX's, i o f c."""
    i, f, c, o = np.split(a, 4, -1)
    return np.concatenate([i, o, f, c], -1).T[None]


def recurrent(model):
    """The LSTMs, each as a list of its directions."""
    for layer in model.layers:
        cells = [layer.forward_layer, layer.backward_layer] if isinstance(layer, L.Bidirectional) else [layer]
        if isinstance(cells[0], L.LSTM):
            yield cells


def candidates(model):
    """Lists of variables, and a function of their arrays that makes what the file may hold: apart from its shape."""
    for v in model.trainable_variables:
        yield [v], lambda a: a
        if len(v.shape) > 2:
            yield [v], oihw
            yield [v], lambda a: a.transpose(2, 3, 0, 1) if a.ndim == 4 else a  # of a depthwise convolution
    for cells in recurrent(model):
        for name in ("kernel", "recurrent_kernel"):
            yield [getattr(c.cell, name) for c in cells], lambda *a: np.concatenate([gates(x) for x in a])
        if cells[0].cell.bias is None:
            continue
        # In the file the second of the biases begins with zeros.
        yield [c.cell.bias for c in cells], lambda *a: np.concatenate([np.concatenate([gates(x), gates(0 * x if x.dtype.kind == "f" else x)], 1) for x in a])


def match(model, tensors, names, all=True):
    """For each named tensor of the file, which element of all variables one behind the other each of its elements is. Unless all, those
    that are no weights are left out."""
    sizes = [int(np.prod(v.shape)) for v in model.trainable_variables]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ids = {id(v): starts[i] + np.arange(sizes[i]).reshape(v.shape) for i, v in enumerate(model.trainable_variables)}
    known = [(f(*[ids[id(v)] for v in vs]).ravel(), f(*[np.asarray(v) for v in vs]).ravel()) for vs, f in candidates(model)]
    found, used = {}, np.zeros(starts[-1], int)
    for name in names:
        a = tensors[name].ravel()
        fit = [where for where, value in known if value.size == a.size and np.allclose(value, a, rtol=1e-4, atol=1e-5)]
        if not fit and not all:
            continue
        if not fit:
            raise RuntimeError(f"{name} {list(tensors[name].shape)} is none of the model's weights")
        found[name] = next((w for w in fit if not used[w].any()), fit[0])
        used[np.unique(found[name])] += 1
    for v in model.trainable_variables:
        if (used[ids[id(v)]] != 1).any():
            raise RuntimeError(f"{v.path} is {int(used[ids[id(v)]].max())} times among the tensors that are trained")
    return found, sizes


def train(case, model, tensors, found, sizes, steps):
    """The weights after steps of SGD, and loss and gradient of the first, by the names of the file's tensors."""
    dtype = model.trainable_variables[0].dtype
    x = {n: tf.Variable(tensors[n].ravel(), dtype=dtype) for n in found}
    state, first = [v.value for v in model.non_trainable_variables], None
    where = tf.constant(np.concatenate(list(found.values())))
    for _ in range(steps):
        with tf.GradientTape() as tape:
            flat = tf.math.unsorted_segment_sum(tf.concat(list(x.values()), 0), where, sum(sizes))
            weights = [tf.reshape(w, v.shape) for w, v in zip(tf.split(flat, sizes), model.trainable_variables)]
            loss = case.value(model.stateless_call(weights, state, case.input, training=False)[0])
        gradients = tape.gradient(loss, x)
        if first is None:
            first = float(loss), {n: g.numpy().reshape(tensors[n].shape) for n, g in gradients.items()}
        for n, g in gradients.items():
            x[n].assign_sub(case.rate * g)
    return {n: v.numpy().reshape(tensors[n].shape) for n, v in x.items()}, *first


def compare(case, tensors, names):
    """The referee.Reference of a case."""
    model = reference(case.model, tensors, "float64")
    found, sizes = match(model, tensors, names)
    double, loss, gradients = train(case, model, tensors, found, sizes, referee.STEPS)
    single, _, _ = train(case, reference(case.model, tensors, "float32"), tensors, found, sizes, referee.STEPS)
    return referee.Reference(loss, gradients, {n: tensors[n].astype(np.float64) for n in found}, double, single)


def check(entry, how, program, dir):
    """The numbers of one row of the table."""
    case, path = make(entry), dir / "model.onnx"
    export(case, how, path)
    model = onnx.load(path)
    tensors = referee.tensors(model)
    return referee.compare(program, path, dir, {model.graph.input[0].name: case.input}, case.target,
                           lambda names: compare(case, tensors, names), case.loss, case.rate)


def record(name, entry):
    case = make(entry)
    with tempfile.TemporaryDirectory() as dir:
        path = pathlib.Path(dir) / "model.onnx"
        export(case, "tf2onnx", path)
        file, (output,) = onnx.load(path), referee.run_runtime(path, {"input": case.input})
    tensors = referee.tensors(file)
    model = reference(case.model, tensors, "float64")
    found, sizes = match(model, tensors, [n for n, a in tensors.items() if a.dtype == np.float32 and a.ndim > 0], all=False)
    _, loss, gradients = train(case, model, tensors, found, sizes, 1)
    np.testing.assert_allclose(case.model(case.input, training=False), output, rtol=1e-4, atol=1e-5)
    recording.write("keras_" + name.replace(" ", "_"), file, [case.input], case.target, case.loss, loss, gradients, output)


def main():
    args = referee.arguments(__doc__)
    args.add_argument("--exports", default=",".join(EXPORTS))
    args.add_argument("--fixtures", action="store_true")
    args = args.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    if args.fixtures:
        for name, entry in small.items():
            record(name, entry)
        return
    referee.table(args, ((name, how, lambda program, dir: check(entry, how, program, dir))
                         for name, entry in full.items() for how in args.exports.split(",")))


if __name__ == "__main__":
    main()
