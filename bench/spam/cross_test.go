package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"posthaste/filter/spam/classifier"
	"posthaste/kv/memkv"
)

// corpus returns the folder of the corpus where bench/spam.sh has fetched it.
func corpus(t *testing.T) string {
	cache, err := os.UserCacheDir()
	dir := filepath.Join(cache, "posthaste", "corpus", "package", "data")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skip("SKIPPED: the spam corpus is not here: bench/spam.sh fetches it")
	}
	return dir
}

// What it learned from one half of the time it knows in the other. The folders that judge stay closed.
func TestHalfOfTheTrainingFoldersJudgesTheOther(t *testing.T) {
	letters, err := training(corpus(t))
	if err != nil {
		t.Fatal(err)
	}
	c := classifier.New(classifier.Config{KV: memkv.New()})
	var learned []letter
	for _, l := range letters {
		if l.block%2 == 0 {
			learned = append(learned, l)
		}
	}
	if err := learn(c, shuffled(learned, 1)); err != nil {
		t.Fatal(err)
	}
	count, wrong := map[classifier.Class]int{}, map[classifier.Class]int{}
	for _, l := range letters {
		if l.block%2 == 0 {
			continue
		}
		o, err := c.Score(context.Background(), 0, l.tokens)
		if err != nil {
			t.Fatal(err)
		}
		count[l.class]++
		if (o.Spam >= classifier.Threshold) != (l.class == classifier.Spam) {
			wrong[l.class]++
		}
	}
	t.Logf("wrong: %d of %d ham, %d of %d spam", wrong[classifier.Ham], count[classifier.Ham], wrong[classifier.Spam], count[classifier.Spam])
	if wrong[classifier.Ham]*200 > count[classifier.Ham] || wrong[classifier.Spam]*10 > count[classifier.Spam] {
		t.Error("more than 0.5 % of ham or 10 % of spam are judged wrongly")
	}
}
