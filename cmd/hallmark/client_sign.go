package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// Bounds of sign --recursive. An index within an index is rare, and one that lists itself cannot be made.
const (
	maxSignedNesting = 3
	maxSigned        = 1000
)

func (c *cli) signCommand() *cobra.Command {
	var key string
	var annotations []string
	var recursive bool
	cmd := &cobra.Command{
		Use: "sign IMAGE", Short: "Sign an image", Args: args(cobra.ExactArgs(1)),
		Long: "Signs the digest of an image with a private key and pushes the signature next to it, as cosign does: cosign verify --key accepts it,\n" +
			"and the hub at once. A tag is resolved first. The password of the key is COSIGN_PASSWORD, or is asked for.",
		Example: "  hallmark sign --key cosign.key 127.0.0.1:8080/library/debian\n  hallmark sign --key cosign.key -a stage=prod team/app@sha256:...",
		RunE: func(cmd *cobra.Command, given []string) error {
			claims, err := parseAnnotations(annotations)
			if err != nil {
				return err
			}
			return c.signImage(cmd.Context(), given[0], key, func(s *trust.Signer, _ string, d digest.Digest) (content []byte, predicateType string, err error) {
				content, err = s.Sign(d, claims)
				return content, core.PredicateSignature, err
			}, recursive, "signed")
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the private key, such as cosign.key")
	cmd.Flags().StringArrayVarP(&annotations, "annotation", "a", nil, "NAME=VALUE that is signed along; may be given several times")
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "sign an index and everything that it lists, too")
	return cmd
}

// parseAnnotations reads NAME=VALUE.
func parseAnnotations(given []string) (map[string]string, error) {
	out := map[string]string{}
	for _, a := range given {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, usagef("--annotation is NAME=VALUE, and %q is not", a)
		}
		if _, twice := out[name]; twice {
			return nil, usagef("the annotation %s is given twice", name)
		}
		out[name] = value
	}
	return out, nil
}

// makeBundle signs something about a digest of a repository. name is how the repository is called from here.
type makeBundle func(s *trust.Signer, name string, d digest.Digest) (content []byte, predicateType string, err error)

// signImage signs what an image's name means, with what it lists if it is to be signed with all of it.
func (c *cli) signImage(ctx context.Context, named, key string, bundle makeBundle, recursive bool, verb string) error {
	i, err := parseImage(named)
	if err != nil {
		return err
	}
	reg, name, err := c.registryOf(&i)
	if err != nil {
		return err
	}
	signer, err := c.readPrivateKey(key)
	if err != nil {
		return err
	}
	subject, err := reg.Manifest(ctx, i.repository, i.reference(), false)
	if err != nil {
		return toLogIn(i.host, err)
	}
	if i.tag != "" {
		fmt.Fprintf(c.stderr, "%s:%s is %s\n", name, i.tag, subject.Digest)
	}
	subjects, err := withChildren(ctx, reg, i.repository, subject, recursive)
	if err != nil {
		return err
	}
	for _, s := range subjects {
		content, predicateType, err := bundle(signer, name, s.Digest)
		if err != nil {
			return err
		}
		if err := attachBundle(ctx, reg, i.repository, s, content, predicateType); err != nil {
			return toLogIn(i.host, err)
		}
		fmt.Fprintf(c.stdout, "%s@%s %s\n", name, s.Digest, verb)
	}
	return nil
}

// withChildren is a manifest, and with recursive also everything it lists, each once. A child that the hub does not have
// is left out: nobody can pull it.
func withChildren(ctx context.Context, reg registry.Registry, repository string, m *registry.Manifest, recursive bool) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	var walk func(m *registry.Manifest, depth int) error
	walk = func(m *registry.Manifest, depth int) error {
		if seen[m.Digest] {
			return nil
		}
		if seen[m.Digest] = true; len(seen) > maxSigned {
			return fmt.Errorf("it lists more than %d manifests: sign them by themselves", maxSigned)
		}
		out = append(out, ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Payload))})
		if !recursive || registry.ManifestKindOf(m.MediaType) != registry.KindIndex {
			return nil
		}
		if depth == 0 {
			return errors.New("its indexes lie too deep in each other: sign them by themselves")
		}
		parsed, err := registry.ParseManifest(m.MediaType, m.Payload, registry.ManifestLimits{})
		if err != nil {
			return err
		}
		for _, child := range parsed.Children() {
			below, err := reg.Manifest(ctx, repository, registry.Reference{Digest: child.Digest}, false)
			if registry.CodeOf(err) == registry.CodeManifestUnknown {
				continue
			}
			if err == nil {
				err = walk(below, depth-1)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	err := walk(m, maxSignedNesting)
	return out, err
}
