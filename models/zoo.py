"""Networks of the kinds that people train, for networks.py and fixtures_networks.py: torchvision's image networks, a
decoder, an encoder, language models of LSTMs and GRUs, and MLPs. No weights are downloaded.

Each entry of ZOO makes a Case: a module, its inputs, targets and the loss. `full` has the sizes of the literature for the
image networks, with small images where the network allows; `small` has narrow versions that fit into a test.
"""
import dataclasses

import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models import densenet, efficientnet, mobilenetv2, resnet, squeezenet, vision_transformer


@dataclasses.dataclass
class Case:
    module: nn.Module
    inputs: dict  # name: tensor, in the order of forward's arguments
    target: torch.Tensor
    loss: str = "cross-entropy"
    rate: float = 0.05  # of SGD; so small that rounding does not grow to another trajectory

    def value(self, output, target=None):
        target = self.target if target is None else target
        if self.loss == "mse":
            return F.mse_loss(output, target.to(output.dtype))
        if output.ndim == 3:
            output, target = output.flatten(0, 1), target.flatten()
        return F.cross_entropy(output, target)


class GPT(nn.Module):
    """A decoder with learned positions, norms first, and the embedding's matrix as the head."""

    def __init__(self, symbols=67, width=48, heads=4, layers=2, steps=16, drop=0.1):
        super().__init__()
        self.embed, self.place = nn.Embedding(symbols, width), nn.Embedding(steps, width)
        self.blocks = nn.ModuleList(Block(width, heads, drop) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, symbols, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        x = self.embed(ids) + self.place(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Block(nn.Module):
    def __init__(self, width, heads, drop):
        super().__init__()
        self.heads, self.drop = heads, nn.Dropout(drop)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(c, 2))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.drop(self.out(a.transpose(1, 2).reshape(b, t, c)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class BERT(nn.Module):
    """An encoder of input_ids under attention_mask, with a classifier on the first position."""

    def __init__(self, symbols=71, width=48, heads=4, layers=2, steps=16, classes=5, drop=0.1):
        super().__init__()
        self.words, self.places, self.norm = nn.Embedding(symbols, width), nn.Embedding(steps, width), nn.LayerNorm(width)
        self.drop = nn.Dropout(drop)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, drop, F.gelu, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.pool, self.classify = nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, input_ids, attention_mask):
        x = self.words(input_ids) + self.places(torch.arange(input_ids.shape[1], device=input_ids.device))
        x = self.encoder(self.drop(self.norm(x)), src_key_padding_mask=attention_mask == 0)
        return self.classify(torch.tanh(self.pool(x[:, 0])))


class Recurrent(nn.Module):
    def __init__(self, kind, symbols=61, width=24, hidden=40, layers=2, drop=0.2):
        super().__init__()
        self.embed, self.drop = nn.Embedding(symbols, width), nn.Dropout(drop)
        self.rnn = kind(width, hidden, layers, batch_first=True)
        self.out = nn.Linear(hidden, symbols)

    def forward(self, ids):
        return self.out(self.drop(self.rnn(self.drop(self.embed(ids)))[0]))


def mlp(sizes=(20, 64, 48, 7)):
    layers = []
    for a, b in zip(sizes, sizes[1:-1]):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.SiLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


def regression(sizes=(13, 40, 24, 3)):
    a, b, c, d = sizes
    return nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.GELU(), nn.Linear(b, c), nn.Tanh(), nn.Linear(c, d))


def images(module, size, batch, classes=10):
    return Case(module, {"input": torch.randn(batch, 3, size, size)}, torch.randint(classes, (batch,)), rate=1e-3)


def tokens(module, symbols, batch, steps):
    return Case(module, {"ids": torch.randint(symbols, (batch, steps))}, torch.randint(symbols, (batch, steps)))


def masked(module, symbols, batch, steps, classes):
    lengths = torch.randint(steps // 2, steps + 1, (batch, 1))
    mask = (torch.arange(steps) < lengths).long()
    ids = torch.randint(1, symbols, (batch, steps))  # 0 pads, and some embeddings keep its row as it is
    return Case(module, {"input_ids": ids * mask, "attention_mask": mask}, torch.randint(classes, (batch,)))


def vectors(module, size, batch, classes):
    return Case(module, {"input": torch.randn(batch, size)}, torch.randint(classes, (batch,)))


class Huggingface(nn.Module):
    """The logits of a network of transformers, whose result is a structure."""

    def __init__(self, net):
        super().__init__()
        self.net = net


class HuggingfaceBERT(Huggingface):
    def forward(self, input_ids, attention_mask):
        return self.net(input_ids=input_ids, attention_mask=attention_mask).logits


class HuggingfaceGPT(Huggingface):
    def forward(self, ids):
        return self.net(input_ids=ids, use_cache=False).logits


def hf_bert():
    import transformers
    config = transformers.BertConfig(vocab_size=71, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
                                     max_position_embeddings=16, num_labels=5)
    return HuggingfaceBERT(transformers.BertForSequenceClassification(config))


def hf_gpt2():
    import transformers
    config = transformers.GPT2Config(vocab_size=67, n_positions=16, n_embd=48, n_layer=2, n_head=4)
    return HuggingfaceGPT(transformers.GPT2LMHeadModel(config))


tv = torchvision.models
full = {
    "resnet18": lambda: images(tv.resnet18(num_classes=10), 64, 4),
    "mobilenet_v2": lambda: images(tv.mobilenet_v2(num_classes=10), 64, 4),
    "efficientnet_b0": lambda: images(tv.efficientnet_b0(num_classes=10, stochastic_depth_prob=0), 64, 4),
    "densenet121": lambda: images(tv.densenet121(num_classes=10), 64, 4),
    "squeezenet1_1": lambda: images(tv.squeezenet1_1(num_classes=10), 64, 4),
    "vit_b_16": lambda: images(tv.vit_b_16(num_classes=10), 224, 1),
    "gpt": lambda: tokens(GPT(), 67, 4, 16),
    "gpt2": lambda: tokens(hf_gpt2(), 67, 4, 16),
    "bert": lambda: masked(BERT(), 71, 4, 16, 5),
    "bert_hf": lambda: masked(hf_bert(), 71, 4, 16, 5),
    "lstm": lambda: tokens(Recurrent(nn.LSTM), 61, 4, 12),
    "gru": lambda: tokens(Recurrent(nn.GRU), 61, 4, 12),
    "mlp": lambda: vectors(mlp(), 20, 8, 7),
    "regression": lambda: Case(regression(), {"input": torch.randn(8, 13)}, torch.randn(8, 3), "mse"),
}


def make(entry, seed=0):
    """The case with random numbers in every parameter and running statistic, because exporters join equal tensors."""
    torch.manual_seed(seed)
    case = entry()
    with torch.no_grad():
        for p in case.module.parameters():
            p += 0.1 * p.std() * torch.randn_like(p) if p.ndim > 1 and p.any() else 0.1 * torch.rand_like(p)
        for name, b in case.module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                b += 0.1 * torch.rand_like(b)
    return case


def small_resnet():
    def block(a, b, stride=1):
        down = nn.Sequential(resnet.conv1x1(a, b, stride), nn.BatchNorm2d(b)) if stride > 1 else None
        return resnet.BasicBlock(a, b, stride, down)
    return nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), block(8, 8), block(8, 12, 2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5))


def small_mobilenet():
    net = mobilenetv2.MobileNetV2(5, 0.25, [[1, 16, 1, 1], [6, 24, 2, 2]])
    net.features[-1] = torchvision.ops.Conv2dNormActivation(8, 24, kernel_size=1, activation_layer=nn.ReLU6)
    net.classifier[1] = nn.Linear(24, 5)
    return net


def small_efficientnet():
    block = lambda *a: efficientnet.MBConvConfig(*a, 1.0, 1.0)
    return efficientnet.EfficientNet([block(1, 3, 1, 8, 8, 1), block(6, 5, 2, 8, 12, 2)], 0.2, 0.0, 5, last_channel=24)


def small_squeezenet():
    fire = squeezenet.Fire
    return nn.Sequential(nn.Conv2d(3, 12, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), fire(12, 4, 8, 8), fire(16, 4, 8, 8),
                         nn.Dropout(0.5), nn.Conv2d(16, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def small_vit():
    return vision_transformer.VisionTransformer(32, 8, 2, 2, 24, 48, dropout=0.1, num_classes=5)


small = {
    "resnet": lambda: images(small_resnet(), 32, 3, 5),
    "mobilenet": lambda: images(small_mobilenet(), 32, 3, 5),
    "efficientnet": lambda: images(small_efficientnet(), 32, 3, 5),
    "densenet": lambda: images(densenet.DenseNet(4, (2, 2), 8, 2, num_classes=5), 32, 3, 5),
    "squeezenet": lambda: images(small_squeezenet(), 32, 3, 5),
    "vit": lambda: images(small_vit(), 32, 2, 5),
    "gpt": lambda: tokens(GPT(23, 16, 2, 2, 8), 23, 2, 8),
    "bert": lambda: masked(BERT(23, 16, 2, 2, 8, 3), 23, 3, 8, 3),
    "lstm": lambda: tokens(Recurrent(nn.LSTM, 17, 8, 12), 17, 3, 6),
    "gru": lambda: tokens(Recurrent(nn.GRU, 17, 8, 12), 17, 3, 6),
    "mlp": lambda: vectors(mlp((6, 12, 10, 4)), 6, 8, 4),
    "regression": lambda: Case(regression((5, 12, 8, 2)), {"input": torch.randn(4, 5)}, torch.randn(4, 2), "mse"),
}
