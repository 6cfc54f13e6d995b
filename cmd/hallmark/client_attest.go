package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// maxPredicate is the largest document that is attested: in its envelope and base64 it fits what the gate reads (16 MiB).
const maxPredicate = 8 << 20

func (c *cli) attestCommand() *cobra.Command {
	var key, kind, file string
	cmd := &cobra.Command{
		Use: "attest IMAGE", Short: "Attest something of an image, such as its SBOM", Args: args(cobra.ExactArgs(1)),
		Long: "Signs a document about an image with a private key and pushes it next to the image, as cosign attest does. A tag is resolved first.\n" +
			"The password of the key is COSIGN_PASSWORD, or is asked for.",
		Example: "  hallmark attest --key cosign.key --type spdxjson --predicate sbom.spdx.json team/app:1.0",
		RunE: func(cmd *cobra.Command, given []string) error {
			predicateType := core.PredicateURI(kind)
			if predicateType == "" {
				return usagef("--type is a URI or one of %s", strings.Join(core.PredicateAliases(), ", "))
			}
			predicate, err := readPredicate(file, kind == "custom")
			if err != nil {
				return err
			}
			return c.signImage(cmd.Context(), given[0], key, func(s *trust.Signer, name string, d digest.Digest) ([]byte, string, error) {
				content, err := s.Attest(name, d, predicateType, predicate)
				return content, predicateType, err
			}, false, "attested")
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the private key, such as cosign.key")
	cmd.Flags().StringVar(&kind, "type", "custom", "what the document is: spdxjson, cyclonedx, slsaprovenance1, vuln, openvex, .. or a URI")
	cmd.Flags().StringVar(&file, "predicate", "", "file of the document")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(core.PredicateAliases(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// readPredicate reads the document that is attested: a JSON object or, for the type custom, anything, in the object that
// cosign puts it into.
func readPredicate(name string, custom bool) ([]byte, error) {
	if name == "" {
		return nil, usagef("attest what? Give --predicate FILE")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the document cannot be read: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPredicate+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxPredicate {
		return nil, fmt.Errorf("%s is too large to be attested: the limit is %d MiB", name, maxPredicate>>20)
	}
	if custom {
		return json.Marshal(struct{ Data, Timestamp string }{string(text), time.Now().UTC().Format(time.RFC3339)})
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimSpace(text), &object); err != nil || object == nil {
		return nil, usagef("%s is no JSON object, which documents of this type are", name)
	}
	return text, nil
}
