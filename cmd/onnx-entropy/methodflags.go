package main

// methodFlags choose the optimizer and its settings. The tag sets lists the fields that a flag sets, by the type
// of the method; a flag that sets nothing of the chosen method is an error. Those without a value take the
// method's own default.
type methodFlags struct {
	Optimizer     string   `group:"Optimizer:" default:"entropy-sgd" placeholder:"NAME" help:"entropy-sgd, entropy-adam, entropy-sgld, sgd, adam, adamw, parle or elastic-sgd; sam, lookahead and swa go around one: swa+sam+adam (default ${default})."`
	LR            *float64 `group:"Optimizer:" name:"lr" placeholder:"X" sets:"EntropySGD.LR SGD.LR Adam.LR Parle.LR" help:"Learning rate, where there is an outer step that of it (default 1; entropy-adam 0.003, sgd and parle 0.1, adam and adamw 0.001)."`
	LRSchedule    string   `group:"Optimizer:" name:"lr-schedule" default:"constant" placeholder:"NAME" help:"Of --lr: constant; step: lr/10 from 40 % of the run on; step:F@P,P: times F at each place P of the run; cosine and linear: down to 0 (default ${default})."`
	WarmUp        *float64 `group:"Optimizer:" placeholder:"X" help:"Part of the run in which the rate first rises from a tenth (default 0)."`
	Momentum      *float64 `group:"Optimizer:" placeholder:"X" sets:"EntropySGD.Momentum SGD.Momentum Parle.Momentum" help:"Nesterov momentum, where there are inner steps that of them (default 0.9)."`
	PlainMomentum bool     `group:"Optimizer:" help:"Momentum of sgd without Nesterov's look ahead."`
	WeightDecay   *float64 `group:"Optimizer:" placeholder:"X" sets:"EntropySGD.WeightDecay SGD.WeightDecay Adam.WeightDecay Parle.WeightDecay" help:"Added to the gradient, times the weights; not for biases and normalisation (default 0; adamw 0.01, apart from the gradient)."`
	DecayAll      bool     `group:"Optimizer:" help:"Weight decay of biases and normalisation too, as torch.optim and the authors' programs have it."`
	Beta1         *float64 `group:"Optimizer:" name:"beta1" placeholder:"X" sets:"Adam.Beta1 EntropySGD.Beta1" help:"Adam's decay of the mean gradient (default 0.9)."`
	Beta2         *float64 `group:"Optimizer:" name:"beta2" placeholder:"X" sets:"Adam.Beta2 EntropySGD.Beta2" help:"Adam's decay of the mean square (default 0.999)."`
	Epsilon       *float64 `group:"Optimizer:" placeholder:"X" sets:"Adam.Epsilon EntropySGD.Epsilon" help:"Added to Adam's root mean square (default 1e-8)."`

	ClipNorm       *float64 `group:"Around any optimizer:" placeholder:"X" sets:"Clip.Norm" help:"Limit the gradient's length (default: none; recurrent networks of the paper: 5)."`
	ClipValue      *float64 `group:"Around any optimizer:" placeholder:"X" sets:"Clip.Value" help:"Limit each element of the gradient, before its length (default: none)."`
	Accumulate     *int     `group:"Around any optimizer:" placeholder:"N" sets:"Accumulate.K" help:"Use the mean gradient of N mini-batches, as of a batch N times as large, but that BatchNormalization sees each alone (default 1)."`
	SAMRadius      *float64 `group:"Around any optimizer:" name:"sam-radius" placeholder:"X" sets:"SAM.Radius" help:"How far up sam takes the gradient (default 0.05)."`
	LookaheadSteps *int     `group:"Around any optimizer:" placeholder:"N" sets:"Lookahead.K" help:"Steps of the fast weights (default 5)."`
	LookaheadRate  *float64 `group:"Around any optimizer:" placeholder:"X" sets:"Lookahead.Alpha" help:"Step of the slow weights towards the fast (default 0.8)."`
	SWAStart       *float64 `group:"Around any optimizer:" name:"swa-start" placeholder:"X" sets:"SWA.Start" help:"Part of the run before swa averages the weights (default 0.75)."`
	SWAEvery       *int     `group:"Around any optimizer:" name:"swa-every" placeholder:"N" sets:"SWA.Every" help:"Outer steps between two weights of the average (default 1)."`

	LangevinSteps *int     `group:"Entropy-SGD and Parle:" short:"L" placeholder:"N" sets:"EntropySGD.L Parle.L" help:"Inner steps, one gradient each, in an outer step (default 20; parle 25, elastic-sgd 1)."`
	InnerLR       *float64 `group:"Entropy-SGD and Parle:" name:"inner-lr" placeholder:"X" sets:"EntropySGD.InnerLR Parle.InnerLR" help:"Learning rate of the inner steps (default 0.1; with Adam there 0.001)."`
	Gamma         *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"EntropySGD.Gamma Parle.Gamma" help:"Pull of the inner steps towards the weights, in the first outer step (default 0.0001; parle 0.01, elastic-sgd 0)."`
	AutoGamma     bool     `group:"Entropy-SGD and Parle:" sets:"EntropySGD.AutoGamma" help:"Find gamma in the first outer step: the loss over half the squared distance that the inner steps go."`
	Scoping       *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"EntropySGD.Scoping Parle.Scoping" help:"Growth of gamma with each outer step: gamma*(1+scoping)^t (default 0.001; elastic-sgd 0)."`
	ScopingForm   string   `group:"Entropy-SGD and Parle:" default:"" enum:",exponential,linear,bounded" placeholder:"NAME" help:"exponential; linear: gamma*(1+scoping*t); bounded: exponential up to --gamma-max (default exponential; parle bounded)."`
	GammaMax      *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"Parle.GammaMax" help:"Limit of gamma with --scoping-form bounded (default 1)."`
	Noise         *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"EntropySGD.Noise" help:"Langevin noise of the inner steps (default 0.001)."`
	OuterNoise    *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"EntropySGD.OuterNoise" help:"Noise of the outer steps (default 0; entropy-sgld 0.0001)."`
	Alpha         *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"EntropySGD.Alpha Parle.Alpha" help:"Weight of the newest inner iterate in their mean (default 0.75; parle 0.25, elastic-sgd 1)."`
	OuterMomentum *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"EntropySGD.OuterMomentum Parle.OuterMomentum" help:"Nesterov momentum of the outer steps (default 0; parle 0.9)."`
	OuterGamma    bool     `group:"Entropy-SGD and Parle:" sets:"EntropySGD.OuterGamma" help:"Multiply the outer step by gamma, as the paper's algorithm 1 does to the letter; --lr is then about 1/gamma."`
	Compat        string   `group:"Entropy-SGD and Parle:" default:"" enum:",paper,lua,torch" placeholder:"NAME" sets:"EntropySGD.Compat" help:"Whose conventions: paper, or lua or torch for the authors' programs (default paper)."`
	DecayPlace    string   `group:"Entropy-SGD and Parle:" default:"" enum:",inner,late,outer,both" placeholder:"NAME" sets:"EntropySGD.DecayPlace" help:"Weight decay in the inner steps; late: after their momentum; in the outer steps; in both (default inner)."`
	AdamLoops     string   `group:"Entropy-SGD and Parle:" default:"" enum:",outer,inner,both" placeholder:"NAME" help:"Where entropy-adam has Adam instead of momentum (default outer)."`
	Replicas      *int     `group:"Entropy-SGD and Parle:" placeholder:"N" sets:"Parle.N" help:"Replicas of parle and elastic-sgd, trained at the same time (default 3)."`
	Rho           *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"Parle.Rho" help:"Pull of the replicas to their mean, in the first outer step (default 1; elastic-sgd 0.1)."`
	RhoMax        *float64 `group:"Entropy-SGD and Parle:" placeholder:"X" sets:"Parle.RhoMax" help:"Limit of rho, which grows like gamma (default 10; elastic-sgd 0.1)."`
}
