package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"posthaste/filter/spam/classifier"
	"posthaste/kv/memkv"
)

// A judged is a letter with its probability of being spam.
type judged struct {
	letter
	spam float64
}

// logit spreads what is near 0 and 1.
func (j judged) logit() float64 { return math.Log(max(j.spam, 1e-15) / max(1-j.spam, 1e-15)) }

// cross prints what ten-fold cross-validation says, by time and by sender, and how ham of no mailing list
// is judged where only lists were learned: mail as different as that of another reader.
func cross(dir string) error {
	letters, err := training(dir)
	if err != nil {
		return err
	}
	foldings := []struct {
		name string
		of   func(letter) int
	}{
		{"by time", func(l letter) int { return l.block }},
		{"by list or sender", func(l letter) int { return l.group }},
	}
	var all []judged
	for _, seed := range []uint64{1, 2, 3, 0} {
		for _, f := range foldings {
			order := fmt.Sprintf("shuffled %d", seed)
			if seed == 0 {
				order = "ham, then spam"
			}
			results, err := validate(shuffled(letters, seed), f.of)
			if err != nil {
				return err
			}
			fmt.Printf("%-18s %-15s %s\n", f.name, order, summary(results))
			all = append(all, results...)
		}
		results, err := fromLists(shuffled(letters, seed))
		if err != nil {
			return err
		}
		fmt.Printf("%-18s seed %-10d %s\n", "lists, then others", seed, summary(results))
	}
	center, steep := fit(all)
	fmt.Printf("in the folds, probabilities fit best when even chances are at %+.2f and the slope is %.2f times what it is\n", center, steep)
	return nil
}

// fit returns the logistic curve that makes the probabilities of what was judged likeliest, with both
// classes of equal weight: where on the logit it is 0.5, and how steep it is.
func fit(all []judged) (center, steep float64) {
	var count [3]float64
	for _, r := range all {
		count[r.class]++
	}
	a, b := 1.0, 0.0
	for range 2000 {
		ga, gb := 0.0, 0.0
		for _, r := range all {
			x, y := max(min(r.logit(), 20), -20), float64(r.class-classifier.Ham)
			e := (y - 1/(1+math.Exp(-a*x-b))) / count[r.class]
			ga += e * x
			gb += e
		}
		a, b = a+ga*0.2, b+gb*0.5
	}
	return -b / a, a
}

func validate(letters []letter, fold func(letter) int) (results []judged, err error) {
	for k := range folds {
		learned := func(l letter) bool { return fold(l) != k }
		if results, err = judgeBy(results, letters, learned, func(l letter) bool { return !learned(l) }); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// fromLists learns the ham of mailing lists and one half of the spam, and judges other ham and the other
// half; then with the halves exchanged, but the ham counts once.
func fromLists(letters []letter) (results []judged, err error) {
	for half := range 2 {
		learned := func(l letter) bool {
			if l.class == classifier.Ham {
				return l.list
			}
			return l.group%2 == half
		}
		judges := func(l letter) bool { return !learned(l) && (half == 0 || l.class == classifier.Spam) }
		if results, err = judgeBy(results, letters, learned, judges); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// judgeBy appends what a classifier says of some letters that learned others.
func judgeBy(results []judged, letters []letter, learned, judges func(letter) bool) ([]judged, error) {
	c := classifier.New(classifier.Config{KV: memkv.New()})
	if err := learn(c, slices.DeleteFunc(slices.Clone(letters), func(l letter) bool { return !learned(l) })); err != nil {
		return nil, err
	}
	for _, l := range letters {
		if !judges(l) {
			continue
		}
		o, err := c.Score(context.Background(), 0, l.tokens)
		if err != nil {
			return nil, err
		}
		results = append(results, judged{l, o.Spam})
	}
	return results, nil
}

// summary tells how much spam is missed where so many ham are taken for spam, and how good the
// probabilities are.
func summary(results []judged) string {
	slices.SortFunc(results, func(a, b judged) int { return cmp.Compare(b.spam, a.spam) })
	ham, spam := 0, 0
	for _, r := range results {
		if r.class == classifier.Spam {
			spam++
		} else {
			ham++
		}
	}
	falsePositives, caught, above := 0, 0, 0.0
	text := ""
	for _, r := range results {
		if r.class == classifier.Spam {
			caught++
			above += float64(ham - falsePositives)
			continue
		}
		switch falsePositives {
		case 1, 2, 5, 12:
			text += fmt.Sprintf("  %d: %.1f %% (%+.2f)", falsePositives, 100*float64(spam-caught)/float64(spam), r.logit())
		}
		falsePositives++
	}
	missed, wrong := 0, 0
	for _, r := range results {
		switch {
		case r.class == classifier.Spam && r.spam < classifier.Threshold:
			missed++
		case r.class == classifier.Ham && r.spam >= classifier.Threshold:
			wrong++
		}
	}
	return fmt.Sprintf("1-AUC %.4f %%, missed at false positives%s; at the threshold %d of %d ham wrong, %.1f %% of spam missed",
		100*(1-above/float64(ham)/float64(spam)), text, wrong, ham, 100*float64(missed)/float64(spam))
}
