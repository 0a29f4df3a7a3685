package onnxload

import (
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// mlDomain is that of ONNX's operators for classical machine learning, which skl2onnx writes.
const mlDomain = "ai.onnx.ml"

// mlOperators are those of mlDomain that occur around networks.
var mlOperators = map[string]operator{
	"ArrayFeatureExtractor": {inputs: 2, most: 2, graph: arrayFeatureExtractor, fold: true},
}

// mlReason says what to do about an operator of mlDomain that is not supported.
func mlReason(op string) string {
	switch op {
	case "ZipMap":
		return "it makes a map of each sample's probabilities; convert with skl2onnx's options={id(model): {'zipmap': False}}"
	case "LinearClassifier", "LinearRegressor":
		return "its weights are attributes, which cannot be trained; build the same as torch.nn.Linear with coef_ and intercept_ and export that"
	case "Scaler", "Normalizer", "Imputer", "OneHotEncoder", "LabelEncoder", "Binarizer", "FeatureVectorizer":
		return "steps of " + mlDomain + " before a network are not supported; convert the last step of the pipeline alone and do this one to the data"
	}
	return fmt.Sprintf("of domain %q only ArrayFeatureExtractor is supported", mlDomain)
}

// arrayFeatureExtractor is ArrayFeatureExtractor of ai.onnx.ml 1: the elements Y of X's last axis, Y of any shape read as a
// list. A vector X gives one row.
func arrayFeatureExtractor(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	index, err := c.integers(1)
	if err != nil {
		return err
	}
	n := index.Shape().TotalSize()
	if index, err = ops.Reshape(index, []int{n}); err != nil {
		return err
	}
	if x.Dims() == 0 {
		return fmt.Errorf("an input without axes, from which nothing can be taken")
	}
	y, err := ops.Gather(x, index, x.Dims()-1)
	if err == nil && x.Dims() == 1 {
		y, err = ops.Reshape(y, []int{1, n})
	}
	return c.set(0, y, err)
}
