package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A figure is one measure of one peer over all rounds.
type figure struct {
	name, unit string
	values     map[string][]float64 // by peer
}

// table reads lines of peer, name, value and unit, and prints the median of each figure for each peer,
// and how many times better each peer is than the first one.
func table([]string) error {
	peers, figures, err := readFigures(os.Stdin)
	if err != nil {
		return err
	}
	if len(peers) == 0 {
		return errors.New("no figures")
	}
	fmt.Printf("| measure |")
	for i, p := range peers {
		fmt.Printf(" %s |", p)
		if i > 0 {
			fmt.Printf(" better |")
		}
	}
	fmt.Printf("\n|---%s\n", strings.Repeat("|---", 2*len(peers)-1)+"|")
	for _, f := range figures {
		f.print(peers)
	}
	return nil
}

func readFigures(r io.Reader) (peers []string, figures []*figure, err error) {
	known := map[string]*figure{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 {
			continue
		}
		peer, name, unit := fields[0], fields[1], fields[3]
		value, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(peers, peer) {
			peers = append(peers, peer)
		}
		f := known[name]
		if f == nil {
			f = &figure{name, unit, map[string][]float64{}}
			known[name], figures = f, append(figures, f)
		}
		f.values[peer] = append(f.values[peer], value)
	}
	return peers, figures, lines.Err()
}

func (f *figure) print(peers []string) {
	fmt.Printf("| %s, %s |", f.name, f.unit)
	first := median(f.values[peers[0]])
	for i, p := range peers {
		m := median(f.values[p])
		if len(f.values[p]) == 0 {
			fmt.Printf(" – |")
		} else {
			fmt.Printf(" %s |", short(m))
		}
		if i > 0 {
			fmt.Printf(" %s |", ratio(f.unit, first, m))
		}
	}
	fmt.Println()
}

// ratio says how many times m is better than first: more of a rate, less of anything else.
func ratio(unit string, first, m float64) string {
	if first == 0 || m == 0 {
		return ""
	}
	r := first / m
	if strings.HasSuffix(unit, "/s") {
		r = m / first
	}
	return short(r) + " ×"
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	return (values[len(values)/2] + values[(len(values)-1)/2]) / 2
}

func short(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
