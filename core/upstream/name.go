package upstream

import (
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

// behind is what a repository of the hub ("project/rest") is called in the registry behind its project: "rest".
func behind(repository string) (project, rest string, err error) {
	project, rest, ok := strings.Cut(repository, "/")
	if ok && !registry.ValidName(rest) {
		return project, "", registry.NewError(registry.CodeNameInvalid, "this is no name of a repository: lower-case letters and digits, with single separators between them")
	}
	if !ok {
		return project, "", registry.NewError(registry.CodeNameUnknown, "a repository is named by its project and by what it is called in the registry behind it: "+
			project+"/REPOSITORY")
	}
	return project, rest, nil
}
