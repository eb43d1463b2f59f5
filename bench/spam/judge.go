package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"posthaste/filter/spam/classifier"
	"posthaste/kv/memkv"
	"posthaste/message"
)

// judge trains on two folders and prints how the three others are judged, by the classifier alone and by
// all that needs no network.
func judge(dir string) error {
	letters, err := training(dir)
	if err != nil {
		return err
	}
	c := classifier.New(classifier.Config{KV: memkv.New()})
	if err := learn(c, shuffled(letters, 1)); err != nil {
		return err
	}
	whole, err := newWhole()
	if err != nil {
		return err
	}
	for _, folder := range []string{"easy-ham-2", "hard-ham-1", "spam-2"} {
		_, contents, err := files(dir, folder)
		if err != nil {
			return err
		}
		alone, together := 0, 0
		for _, content := range contents {
			m := message.Parse(content)
			o, err := c.Score(context.Background(), 0, c.Tokenize(m))
			if err != nil {
				return err
			}
			if o.Spam >= classifier.Threshold {
				alone++
			}
			junk, err := whole.junk(content, m, o)
			if err != nil {
				return err
			}
			if junk {
				together++
			}
		}
		fmt.Printf("Posthaste, classifier %s %d %d\n", folder, alone, len(contents))
		fmt.Printf("Posthaste, rules and classifier %s %d %d\n", folder, together, len(contents))
	}
	return nil
}

// split writes the folders as plain messages, one a file, for programs that take such.
func split(dir, out string) error {
	for _, folder := range []string{"easy-ham-1", "spam-1", "easy-ham-2", "hard-ham-1", "spam-2"} {
		names, contents, err := files(dir, folder)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(out, folder), 0o755); err != nil {
			return err
		}
		for i, content := range contents {
			if err := os.WriteFile(filepath.Join(out, folder, filepath.Base(names[i])), content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
