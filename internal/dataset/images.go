package dataset

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Images come as files, PNG or JPEG, in folders or in a tar archive: PART/CLASS/NAME.png, CLASS/NAME.png, or
// PART/NAME_LABEL.png, where PART is train, valid (or val) or test. Folders of classes are numbered in the order of their
// names, by value if all are numbers; a LABEL is a number already. All images must have one size. They have three
// channels, red, green and blue, unless all are grey; what is transparent is taken as if it were not.

var (
	imageName  = regexp.MustCompile(`(?i)\.(png|jpe?g)$`)
	tarName    = regexp.MustCompile(`(?i)\.(tar|tar\.gz|tgz)$`)
	trainTar   = regexp.MustCompile(`(?i)train.*\.(tar|tar\.gz|tgz)$`)
	testTar    = regexp.MustCompile(`(?i)test.*\.(tar|tar\.gz|tgz)$`)
	labelled   = regexp.MustCompile(`_(\d{1,6})\.\w+$`)
	partNames  = map[string]string{"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test", "testing": "test"}
	partsOrder = []string{"train", "valid", "test"}
)

const (
	// maxImageFile bounds a packed image.
	maxImageFile = 1 << 28
	// maxPixels bounds an image, whose header can claim any size, and maxImageBytes all of them.
	maxPixels     = 1 << 26
	maxImageBytes = 1 << 32
)

// collection is images while they are read.
type collection struct {
	name          string
	width, height int
	first         string // the image that says the size
	bytes         int    // of all pixels
	colour        bool   // some image is not grey
	folders       bool   // classes are folders; else numbers in the names of files
	parts         map[string]*collected
}

// collected is a part of a collection.
type collected struct {
	pixels  []byte // (image, 3, height, width)
	classes []string
}

func newCollection(name string) *collection {
	return &collection{name: name, parts: map[string]*collected{}}
}

// openImages reads a directory of images.
func openImages(dir string) (*Data, error) {
	c := newCollection(filepath.Base(dir))
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		if !imageName.MatchString(p) || !d.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		f, err := os.Open(p)
		if err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		defer f.Close()
		return c.add(filepath.ToSlash(rel), "", f)
	})
	if err != nil {
		return nil, err
	}
	return c.data()
}

// holdsImages tells whether there is an image in a folder of dir.
func holdsImages(dir string) bool {
	found := errors.New("found")
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && imageName.MatchString(p) && d.Type().IsRegular() {
			return found
		}
		return nil
	}) == found
}

// openTars reads archives of images: one whose names say the parts, or one for each part.
func openTars(paths map[string]string) (*Data, error) {
	c := newCollection(filepath.Base(cmp.Or(paths[""], paths["train"], paths["test"])))
	for _, part := range append([]string{""}, partsOrder...) {
		if paths[part] == "" {
			continue
		}
		if err := c.readTar(paths[part], part); err != nil {
			return nil, err
		}
	}
	return c.data()
}

func (c *collection) readTar(path, part string) error {
	s, err := open(path)
	if err != nil {
		return err
	}
	defer s.close()
	r := tar.NewReader(s.r)
	n := 0
	for {
		h, err := r.Next()
		switch {
		case err == io.EOF && n > 0:
			return nil
		case err == io.EOF:
			return s.errorf("holds no image, of which the names end in .png, .jpg or .jpeg")
		case err != nil:
			return s.errorf("is no tar archive, or damaged: %w", err)
		case h.Typeflag != tar.TypeReg || !imageName.MatchString(h.Name):
			continue
		}
		if err := c.add(h.Name, part, r); err != nil {
			return err
		}
		n++
	}
}

// place says to which part and class an image belongs. Where no folder is a part's, given is the part.
func (c *collection) place(name, given string) (part, class string, err error) {
	folders := strings.Split(path.Dir(path.Clean("/" + name))[1:], "/")
	if folders[0] == "" {
		folders = nil
	}
	part = cmp.Or(given, "train")
	if k := slices.IndexFunc(folders, func(f string) bool { return partNames[strings.ToLower(f)] != "" }); k >= 0 {
		if given == "" {
			part = partNames[strings.ToLower(folders[k])]
		}
		folders = folders[k+1:]
	}
	label := labelled.FindStringSubmatch(name)
	switch {
	case len(folders) > 0:
		class = folders[0]
	case label != nil:
		class = label[1]
	default:
		return "", "", fmt.Errorf("dataset: %s: %s: no class is known; put each class into a folder of its own, or let the name end in _LABEL, such as _3.png", c.name, name)
	}
	if c.first != "" && c.folders != (len(folders) > 0) {
		return "", "", fmt.Errorf("dataset: %s: %s: classes are either folders or numbers in the names of files, as in %s; not both", c.name, name, c.first)
	}
	c.folders = len(folders) > 0
	return part, class, nil
}

// add reads one image.
func (c *collection) add(name, given string, r io.Reader) error {
	errorf := func(format string, args ...any) error {
		return fmt.Errorf("dataset: %s: %s: %w", c.name, name, fmt.Errorf(format, args...))
	}
	part, class, err := c.place(name, given)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxImageFile+1))
	if err != nil {
		return errorf("%w", err)
	}
	if len(b) > maxImageFile {
		return errorf("has more than %d bytes", maxImageFile)
	}
	decode, size, err := decoder(b)
	if err != nil {
		return errorf("%w", err)
	}
	if c.first == "" {
		c.first, c.width, c.height = name, size.Width, size.Height
	}
	if size.Width != c.width || size.Height != c.height {
		return errorf("is %d x %d pixels, and %s is %d x %d; give images of one size", size.Width, size.Height, c.first, c.width, c.height)
	}
	m, err := decode(bytes.NewReader(b))
	if err != nil {
		return errorf("%w", err)
	}
	if c.bytes += 3 * c.width * c.height; c.bytes > maxImageBytes {
		return errorf("with it the images have more than %d bytes of pixels, which are kept in memory", maxImageBytes)
	}
	p := c.parts[part]
	if p == nil {
		p = new(collected)
		c.parts[part] = p
	}
	p.classes = append(p.classes, class)
	from := len(p.pixels)
	p.pixels = append(p.pixels, make([]byte, 3*c.width*c.height)...)
	if !planes(p.pixels[from:], m) {
		c.colour = true
	}
	return nil
}

// data makes sets of what was read.
func (c *collection) data() (*Data, error) {
	if c.first == "" {
		return nil, fmt.Errorf("dataset: %s: holds no images", c.name)
	}
	names := c.classNames()
	d := new(Data)
	for part, to := range map[string]**Set{"train": &d.Train, "valid": &d.Valid, "test": &d.Test} {
		p := c.parts[part]
		if p == nil {
			continue
		}
		s := &Set{Name: fmt.Sprintf("%s images of %s", part, c.name), Shape: []int{3, c.height, c.width}, Bytes: p.pixels}
		if !c.colour {
			s.grey()
		}
		for _, class := range p.classes {
			label, _ := strconv.ParseInt(class, 10, 64)
			if c.folders {
				label = int64(slices.Index(names, class))
			}
			s.Labels = append(s.Labels, label)
			s.Classes = max(s.Classes, int(label)+1)
		}
		if c.folders {
			s.ClassNames, s.Classes = names, len(names)
		}
		if err := s.Use(Transform{}); err != nil {
			return nil, err
		}
		*to = s
	}
	return d, nil
}

// classNames numbers the folders.
func (c *collection) classNames() (names []string) {
	if !c.folders {
		return nil
	}
	numbers := true
	for _, p := range c.parts {
		for _, class := range p.classes {
			if _, err := strconv.ParseUint(class, 10, 32); err != nil {
				numbers = false
			}
		}
		names = append(names, p.classes...)
	}
	slices.SortFunc(names, func(a, b string) int {
		if numbers {
			x, _ := strconv.ParseUint(a, 10, 32)
			y, _ := strconv.ParseUint(b, 10, 32)
			return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
		}
		return cmp.Compare(a, b)
	})
	return slices.Compact(names)
}
