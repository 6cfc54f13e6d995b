package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// Bounds of expressions. The cost is counted the same everywhere; the time is there for what the count does not see.
const (
	maxExpression     = 4 << 10
	maxExpressionCost = 1_000_000
	maxExpressionTime = 50 * time.Millisecond
	// secondTime is for the second try: that the machine was busy with something else is no reason to refuse.
	secondTime = 250 * time.Millisecond
	maxNodes   = 2000
	maxNesting = 50
)

// errRejected: the expression was asked, and what it was asked about is not as it wants.
var errRejected = errors.New("the expression is false")

var errSlow = errors.New("the expression took too long")

// expression is a compiled CEL expression over a statement. It can reach nothing but what it is given.
type expression struct {
	source  string
	program cel.Program
	timely  bool // it looks at the clock
}

// expressions makes expressions; the environment is dear enough to be made once per document.
type expressions struct{ env *cel.Env }

func (x *expressions) compile(source string) (*expression, error) {
	if x.env == nil {
		env, err := cel.NewEnv(
			cel.Variable("statement", cel.MapType(cel.StringType, cel.DynType)),
			cel.Variable("predicate", cel.DynType),
			cel.Variable("image", cel.MapType(cel.StringType, cel.StringType)),
			cel.Variable("signer", cel.MapType(cel.StringType, cel.DynType)),
			cel.Variable("now", cel.TimestampType),
			cel.CrossTypeNumericComparisons(true),
			cel.DefaultUTCTimeZone(true),
			cel.ParserExpressionSizeLimit(maxExpression),
			cel.ParserRecursionLimit(maxNesting),
			cel.ExpressionNodeLimit(maxNodes),
			cel.RegexProgramSizeLimit(maxCELRegex),
		)
		if err != nil {
			return nil, err
		}
		x.env = env
	}
	ast, issues := x.env.Compile(source)
	if issues.Err() != nil {
		e := issues.Errors()[0]
		return nil, fmt.Errorf("cel does not compile: %s (line %d, column %d of the expression)",
			strings.Join(strings.Fields(clip(e.Message, 200)), " "), e.Location.Line(), e.Location.Column()+1)
	}
	if ast.OutputType() != cel.BoolType {
		return nil, errors.New("cel must be true or false by its type: compare what it ends with, as in predicate.passed == true")
	}
	if cost, err := x.env.EstimateCost(ast, sizes{}); err != nil || cost.Min > maxExpressionCost {
		return nil, fmt.Errorf("cel costs more than the limit of %d steps whatever it is asked about", maxExpressionCost)
	}
	program, err := x.env.Program(ast, cel.CostLimit(maxExpressionCost), cel.InterruptCheckFrequency(1))
	if err != nil {
		return nil, errors.New("cel does not compile: " + clip(err.Error(), 200))
	}
	e := &expression{source: source, program: program}
	for _, r := range ast.NativeRep().ReferenceMap() {
		e.timely = e.timely || r.Name == "now"
	}
	return e, nil
}

// sizes knows nothing of what an expression will be given, so that only certain costs are counted when it is saved.
type sizes struct{}

func (sizes) EstimateSize(checker.AstNode) *checker.SizeEstimate { return nil }
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// holds returns nil if the expression is true, errRejected if it is not or asks for what is not there, and another error
// if it could not be asked to the end.
func (e *expression) holds(vars map[string]any) error {
	err := e.within(maxExpressionTime, vars)
	if errors.Is(err, errSlow) {
		err = e.within(secondTime, vars)
	}
	return err
}

func (e *expression) within(limit time.Duration, vars map[string]any) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, _, err := e.program.ContextEval(ctx, vars)
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &cancelled):
		return fmt.Errorf("the expression passed the limit of %d steps", maxExpressionCost)
	case err != nil && (ctx.Err() != nil || errors.Is(err, interpreter.InterruptError{})):
		return errSlow
	case err != nil && out != nil && types.IsError(out):
		return errRejected // no such key, no such overload: it is not the document that was meant
	case err != nil:
		return errors.New("the expression failed")
	case out == types.True:
		return nil
	}
	return errRejected
}
