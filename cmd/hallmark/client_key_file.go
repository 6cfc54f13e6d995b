package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/hallmarkhub/hallmark/core/trust"
)

// passwordVariable is where cosign looks for the password of a private key, too.
const passwordVariable = "COSIGN_PASSWORD"

// newKeyPassword is the password that a new private key is to be encrypted with: asked for twice, because nobody can see
// what they type.
func (c *cli) newKeyPassword() (string, error) {
	password, err := c.keyPassword("Password of the new private key")
	if err != nil {
		return "", err
	}
	if c.asks() && c.getenv(passwordVariable) == "" {
		again, err := c.readSecret("The same again")
		if err != nil {
			return "", err
		}
		if again != password {
			return "", errors.New("the two passwords are not the same: nothing was made")
		}
	}
	if password == "" {
		fmt.Fprintf(c.stderr, "The private key has no password: whoever can read the file can sign. %s sets one.\n", passwordVariable)
	}
	return password, nil
}

// keyPassword is the password of a private key: of the environment, else asked for, else a line of standard input; none
// where there is neither.
func (c *cli) keyPassword(prompt string) (string, error) {
	if password := c.getenv(passwordVariable); password != "" {
		return password, nil
	}
	if c.asks() {
		return c.readSecret(prompt)
	}
	line, err := c.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// asks reports whether somebody sits in front.
func (c *cli) asks() bool {
	f, ok := c.stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readPrivateKey reads the key to sign with. A key without a password is read without asking for one.
func (c *cli) readPrivateKey(name string) (*trust.Signer, error) {
	if name == "" {
		return nil, usagef("sign with which key? Give --key cosign.key; hallmark keys generate makes one")
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the private key cannot be read: %w", err)
	}
	signer, err := trust.ParsePrivateKey(text, []byte(c.getenv(passwordVariable)))
	if errors.Is(err, trust.ErrPassword) && c.getenv(passwordVariable) == "" {
		var password string
		if password, err = c.keyPassword("Password of " + name); err != nil {
			return nil, err
		}
		signer, err = trust.ParsePrivateKey(text, []byte(password))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return signer, nil
}
