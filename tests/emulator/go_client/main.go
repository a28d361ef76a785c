// Owns what Google's own Go client sees of the metadata server, printed for test_clients.py.
//
// usage: go_client facts            one JSON object
//
//	go_client get PATH         the value, or exit 1 with the error
//	go_client subscribe PATH   each value on a line, until the key is gone
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2/google"
)

const patience = 30 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch {
	case len(arguments) == 1 && arguments[0] == "facts":
		return facts(ctx)
	case len(arguments) == 2 && arguments[0] == "get":
		value, err := metadata.GetWithContext(ctx, arguments[1])
		if err == nil {
			fmt.Print(value)
		}
		return err
	case len(arguments) == 2 && arguments[0] == "subscribe":
		return metadata.SubscribeWithContext(ctx, arguments[1], report)
	}
	return errors.New("usage: go_client facts | get PATH | subscribe PATH")
}

func report(_ context.Context, value string, ok bool) error {
	if !ok {
		fmt.Println("gone")
		return nil
	}
	fmt.Println("value", value)
	return nil
}

func facts(ctx context.Context) error {
	type texts = func(context.Context) (string, error)
	type lists = func(context.Context) ([]string, error)
	said := map[string]any{"OnGCE": metadata.OnGCEWithContext(ctx)}
	for name, ask := range map[string]texts{
		"ProjectID":        metadata.ProjectIDWithContext,
		"NumericProjectID": metadata.NumericProjectIDWithContext,
		"InstanceID":       metadata.InstanceIDWithContext,
		"InstanceName":     metadata.InstanceNameWithContext,
		"Hostname":         metadata.HostnameWithContext,
		"Zone":             metadata.ZoneWithContext,
		"InternalIP":       metadata.InternalIPWithContext,
		"ExternalIP":       metadata.ExternalIPWithContext,
		"InstanceAttributeValue": func(ctx context.Context) (string, error) {
			return metadata.InstanceAttributeValueWithContext(ctx, "greeting")
		},
		"ProjectAttributeValue": func(ctx context.Context) (string, error) {
			return metadata.ProjectAttributeValueWithContext(ctx, "greeting")
		},
		"Email": func(ctx context.Context) (string, error) {
			return metadata.EmailWithContext(ctx, "default")
		},
		"UniverseDomain": func(ctx context.Context) (string, error) {
			return metadata.GetWithContext(ctx, "universe/universe-domain")
		},
	} {
		value, err := ask(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		said[name] = value
	}
	for name, ask := range map[string]lists{
		"InstanceTags":       metadata.InstanceTagsWithContext,
		"InstanceAttributes": metadata.InstanceAttributesWithContext,
		"ProjectAttributes":  metadata.ProjectAttributesWithContext,
		"Scopes": func(ctx context.Context) ([]string, error) {
			return metadata.ScopesWithContext(ctx, "default")
		},
	} {
		values, err := ask(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		said[name] = values
	}

	_, err := metadata.InstanceAttributeValueWithContext(ctx, "no-such-key")
	var undefined metadata.NotDefinedError
	said["NotDefined"] = errors.As(err, &undefined)

	token, err := google.ComputeTokenSource("default", said["Scopes"].([]string)...).Token()
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	said["Token"] = map[string]any{
		"access_token": token.AccessToken,
		"token_type":   token.TokenType,
		"expires_in":   time.Until(token.Expiry).Seconds(),
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}
