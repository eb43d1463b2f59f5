package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"posthaste/mail"
)

// soleNode is the number of the only node of a store.
const soleNode = 1

// numberName is the file in the data directory that holds the node's number in a shared store. The
// number is part of queue IDs and of the names of partitions, so no two nodes may have the same.
const numberName = "node"

// A numberer gives out numbers of nodes.
type numberer interface {
	NewNode(ctx context.Context) (number int, err error)
}

// keptNumber returns the number in the file at path, which it gets and writes the first time.
func keptNumber(ctx context.Context, path string, from numberer) (uint16, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return parseNumber(path, string(text))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("node: number of this node: %w", err)
	}
	number, err := from.NewNode(ctx)
	if err != nil {
		return 0, err
	}
	if number > mail.MaxNode {
		return 0, fmt.Errorf("node: this would be node %d of the store, which can have %d: bring back the file %s of a node that is gone for good", number, mail.MaxNode, filepath.Base(path))
	}
	return uint16(number), writeNumber(path, number)
}

func parseNumber(path, text string) (uint16, error) {
	number, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || number < 1 || number > mail.MaxNode {
		return 0, fmt.Errorf("node: %s holds %q, not the number of a node (1 to %d): remove the file to get a new one", path, text, mail.MaxNode)
	}
	return uint16(number), nil
}

// writeNumber writes the file so that a crash leaves all of it or none.
func writeNumber(path string, number int) error {
	fresh := path + ".new"
	if err := os.WriteFile(fresh, fmt.Appendf(nil, "%d\n", number), 0o600); err != nil {
		return fmt.Errorf("node: keep the number of this node: %w", err)
	}
	return os.Rename(fresh, path)
}
