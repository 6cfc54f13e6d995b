package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// clientConfig is where somebody has logged in. The file holds tokens and never a password.
type clientConfig struct {
	Current string      `yaml:"current"` // address
	Hubs    []clientHub `yaml:"hubs"`
}

type clientHub struct {
	Address  string `yaml:"address"`
	Username string `yaml:"username"`
	Token    string `yaml:"token"`
	TokenID  string `yaml:"token_id,omitempty"` // set if the token was made by logging in, and goes with logging out
}

func (c *clientConfig) find(address string) *clientHub {
	for i := range c.Hubs {
		if c.Hubs[i].Address == address {
			return &c.Hubs[i]
		}
	}
	return nil
}

// put adds or replaces a hub and makes it the current one.
func (c *clientConfig) put(h clientHub) {
	c.Current = h.Address
	if old := c.find(h.Address); old != nil {
		*old = h
		return
	}
	c.Hubs = append(c.Hubs, h)
}

// drop removes a hub.
func (c *clientConfig) drop(address string) {
	kept := c.Hubs[:0]
	for _, h := range c.Hubs {
		if h.Address != address {
			kept = append(kept, h)
		}
	}
	c.Hubs = kept
	if c.Current == address {
		c.Current = ""
		if len(kept) > 0 {
			c.Current = kept[len(kept)-1].Address
		}
	}
}

// configPath is the file: HALLMARK_CONFIG, else hallmark/config.yaml in the directory for configuration.
func (c *cli) configPath() (string, error) {
	if p := c.getenv("HALLMARK_CONFIG"); p != "" {
		return p, nil
	}
	dir := c.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := c.getenv("HOME")
		if home == "" {
			return "", usagef("set HOME or HALLMARK_CONFIG: there is no place to remember where you log in")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "hallmark", "config.yaml"), nil
}

func (c *cli) readConfig() (*clientConfig, error) {
	path, err := c.configPath()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &clientConfig{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what is remembered of your log-ins cannot be read: %w", err)
	}
	var config clientConfig
	if err := yaml.Unmarshal(raw, &config); err != nil {
		return nil, usagef("%s is not well-formed: mend it, or remove it and log in again", path)
	}
	return &config, nil
}

// writeConfig replaces the file whole, readable by its owner alone.
func (c *cli) writeConfig(config *clientConfig) error {
	path, err := c.configPath()
	if err != nil {
		return err
	}
	raw, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(raw); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
