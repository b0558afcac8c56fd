// Package shop is a client of a shop's web service.
package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/steadyhttp/steadyhttp"
)

// A Shop calls the web service at URL.
type Shop struct {
	Client *http.Client
	URL    string
}

// Stock returns how many of an item the shop has.
func (s Shop) Stock(ctx context.Context, item string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/stock/"+item, nil)
	if err != nil {
		return 0, err
	}
	response, err := s.Client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("stock of %s: %s", item, response.Status)
	}
	var found struct{ Stock int }
	err = json.NewDecoder(response.Body).Decode(&found)
	return found.Stock, err
}

// Order buys an item.
func (s Shop) Order(ctx context.Context, item string) error {
	content := strings.NewReader(strconv.Quote(item))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/orders", content)
	if err != nil {
		return err
	}
	response, err := s.Client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("order of %s: %s", item, response.Status)
	}
	return nil
}

// Page returns the text that the program shows. It must not fail when the shop does.
func (s Shop) Page(ctx context.Context) string {
	stock, err := s.Stock(ctx, "boots")
	switch {
	case errors.Is(err, steadyhttp.ErrCircuitOpen):
		return "ask us later"
	case err != nil:
		return "out of order"
	default:
		return fmt.Sprintf("%d pairs", stock)
	}
}
