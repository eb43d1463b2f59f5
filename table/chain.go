package table

import "context"

// A Chain is tables that are asked one after the other: the first that has a key decides. An empty one
// has none.
type Chain []Table

// Lookup returns the value of the first table that has key.
func (c Chain) Lookup(ctx context.Context, key string) (string, bool, error) {
	for _, t := range c {
		if value, found, err := t.Lookup(ctx, key); err != nil || found {
			return value, found, err
		}
	}
	return "", false, nil
}
