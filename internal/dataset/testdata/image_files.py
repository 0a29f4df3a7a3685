"""Writes, with Pillow and NumPy, the images of images_test.go (images/), what Pillow decodes them to (images.npy: uint8, of shape
(files in the order of their names, height, width, 3)), and the NPZ files of npz_test.go."""
import pathlib
import numpy as np
from PIL import Image

here = pathlib.Path(__file__).parent
dir = here / "images"
dir.mkdir(exist_ok=True)
rng = np.random.default_rng(0)
smooth = np.stack(np.meshgrid(np.linspace(0, 255, 8), np.linspace(0, 200, 6)), -1)
smooth = np.concatenate([smooth, 255 - smooth[..., :1]], -1).astype(np.uint8)  # (6, 8, 3)
noise = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
Image.fromarray(noise).save(dir / "a_0.png")
Image.fromarray(np.dstack([noise[::-1], rng.integers(0, 256, (6, 8), dtype=np.uint8)])).save(dir / "b_1.png")  # with alpha
Image.fromarray(noise[..., 0]).save(dir / "c_2.png")  # grey
Image.fromarray(smooth).quantize(16).save(dir / "d_3.png")  # with a palette
Image.fromarray(noise).save(dir / "e_12.png", bits=8, optimize=True)
Image.fromarray(smooth).save(dir / "f_4.jpg", quality=95, subsampling=0)
Image.fromarray(smooth[..., 0]).save(dir / "g_5.JPEG", quality=95)  # grey
Image.fromarray(smooth).save(dir / "h_6.jpeg", quality=90, subsampling=0, progressive=True)
np.save(here / "images.npy", np.stack([np.asarray(Image.open(p).convert("RGB")) for p in sorted(dir.iterdir())]))

x, y = np.arange(24, dtype=np.float32).reshape(4, 2, 3) / 8, np.array([2, 0, 1, 2])
np.savez(here / "plain.npz", x=x, y=y)
np.savez_compressed(here / "packed.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
np.savez_compressed(here / "named.npz", volts=x, amperes=x[:, 0, :1])
