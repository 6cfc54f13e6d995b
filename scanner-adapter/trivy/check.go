package trivy

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// pages reads every page of a database and looks for what every database of Trivy has.
func pages(b *bolt.DB) error {
	return b.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = err
			}
		}
		if first != nil {
			return fmt.Errorf("it is damaged: %w", first)
		}
		for _, name := range []string{"vulnerability", "data-source"} {
			if tx.Bucket([]byte(name)) == nil {
				return errors.New("it has no " + name + ": it is not a vulnerability database of Trivy")
			}
		}
		return nil
	})
}
