package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"runtime"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/onnx-entropy/onnx-entropy/runner"
)

// version goes into --version, the config of a run and the metadata of a trained file.
const version = "0.1.0"

// cli is the command line: a field a verb.
type cli struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Train     trainCmd     `cmd:"" help:"Train a model and write it back with new weights."`
	Eval      evalCmd      `cmd:"" help:"Measure loss and error of a model on data."`
	Predict   predictCmd   `cmd:"" help:"Write a model's outputs for data."`
	Inspect   inspectCmd   `cmd:"" help:"Show a model's layers, parameters and what its export lost."`
	Verify    verifyCmd    `cmd:"" help:"Run ONNX backend test cases."`
	Grad      gradCmd      `cmd:"" help:"Print loss and gradients for one case, to compare with other frameworks."`
	Bench     benchCmd     `cmd:"" help:"Time gradients and Entropy-SGD steps of a model on random data."`
	Reproduce reproduceCmd `cmd:"" help:"Repeat an experiment of the Entropy-SGD paper, both arms over several seeds."`
	Models    modelsCmd    `cmd:"" help:"List the embedded models, or write one to a file."`
}

// env is what a verb works with.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

func (e *env) printf(format string, args ...any) { fmt.Fprintf(e.stdout, format+"\n", args...) }
func (e *env) warn(format string, args ...any)   { fmt.Fprintf(e.stderr, "note: "+format+"\n", args...) }

// warnOf passes on what a step has found about a model.
func (e *env) warnOf(m *model, s *runner.Step) {
	for _, w := range s.Warnings() {
		e.warn("%s: %s.", m.label, w)
	}
}

// run does what args, without the program's name, ask for. It prints results but never errors.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c cli
	exited := false
	parser, err := kong.New(&c,
		kong.Name("onnx-entropy"),
		kong.Description("Trains networks that another framework exported as ONNX, and writes the same file back with new weights. "+
			"Without any argument, \"onnx-entropy train\" trains an embedded network on built-in digits."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		vars(),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited {
		return nil // --help or --version, which is done
	}
	if err != nil {
		return parseError(parser, args, err)
	}
	if err = emptyFlag(parsed); err == nil {
		err = parsed.Run(&env{ctx, stdout, stderr})
	}
	if u := (*usageError)(nil); errors.As(err, &u) && u.verb == "" {
		u.verb = verbOf(parser, args)
	}
	return err
}

// emptyFlag is the error of a flag that was given with nothing, as a script does whose variable is not set: it would
// be taken as one that was not given.
func emptyFlag(k *kong.Context) error {
	for _, p := range k.Path {
		if p.Flag == nil {
			continue
		}
		switch v := p.Flag.Target; v.Kind() {
		case reflect.String, reflect.Slice:
			if v.Len() == 0 {
				return usagef("--%s is empty; give it a value, or leave it out", p.Flag.Name)
			}
		}
	}
	return nil
}

// vars are what help texts refer to.
func vars() kong.Vars {
	return kong.Vars{
		"digits_epochs": fmt.Sprint(digitsEpochs),
		"version":       fmt.Sprintf("onnx-entropy %s (%s %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
}

// runIn does the command line args of train with the folder for its run in root.
func runIn(e *env, root string, args []string) error {
	var c cli
	parser, err := kong.New(&c, kong.Name("onnx-entropy"), vars(), kong.Exit(func(int) {}))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	c.Train.root = root
	return parsed.Run(e)
}

// parseError says what is wrong with args in the words of this command line.
func parseError(p *kong.Kong, args []string, err error) error {
	verb := verbOf(p, args)
	if verb == "" && !strings.HasPrefix(args[0], "-") {
		var names []string
		for _, n := range p.Model.Children {
			names = append(names, n.Name)
		}
		return usagef("there is no command %s; there are %s", args[0], strings.Join(names, ", "))
	}
	// Kong names the kind of token, which is no help.
	text := strings.NewReplacer(" (short flag)", "", " (string)", "", " (long flag)", "").Replace(err.Error())
	text = unsigned.ReplaceAllString(text, "expected an integer from 0 to 2^64-1, not $1")
	return &usageError{verb, errors.New(text)}
}

// unsigned is what kong says of a bad uint64.
var unsigned = regexp.MustCompile(`expected (?:uint value|a valid 64 bit uint) but got ("[^"]*")(?:; perhaps .*)?`)

// verbOf finds the verb among args, for the hint of a usage error.
func verbOf(p *kong.Kong, args []string) string {
	for _, a := range args {
		for _, n := range p.Model.Children {
			if n.Name == a {
				return a
			}
		}
	}
	return ""
}

// A usageError is a command line that cannot be meant.
type usageError struct {
	verb string
	err  error
}

func usagef(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

func (e *usageError) Unwrap() error { return e.err }

func (e *usageError) Error() string {
	command := "onnx-entropy"
	if e.verb != "" {
		command += " " + e.verb
	}
	return fmt.Sprintf("%v (see: %s --help)", e.err, command)
}

// exitCode is 0 for success, 2 for a command line that cannot be meant, 1 for all else.
func exitCode(err error) int {
	var u *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &u):
		return 2
	}
	return 1
}

// message is an error in the words of the command line: without the names of packages, which a Go program
// needs and a user does not.
func message(err error) string {
	if errors.Is(err, context.Canceled) && strings.HasSuffix(err.Error(), context.Canceled.Error()) {
		return "interrupted before there was a result; nothing was written"
	}
	return packages.ReplaceAllString(err.Error(), "$1")
}

var packages = regexp.MustCompile(`(^|: )(?:(?:onnxload|runner|dataset|exec|ops|optimizer|models): )+`)
