package scripts
import ("testing"; "github.com/rogpeppe/go-internal/testscript")
func TestX(t *testing.T){ testscript.Run(t, testscript.Params{Dir:"testdata"}) }
