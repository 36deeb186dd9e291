// Command go-client creates a world on a running QMTL platform, lists the worlds, and watches the gate of its own world
// until it changes.
//
// It needs the Go module of the contracts (gen/go) and grpc-go; nothing else of QMTL.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	controlv1 "github.com/qmtl/qmtl/gen/go/qmtl/control/v1"
	gatewayv1 "github.com/qmtl/qmtl/gen/go/qmtl/gateway/v1"
	typev1 "github.com/qmtl/qmtl/gen/go/qmtl/type/v1"
	worldv1 "github.com/qmtl/qmtl/gen/go/qmtl/world/v1"
)

const (
	callTimeout  = 10 * time.Second
	worldsAPage  = 100
	alreadyThere = "WORLD_EXISTS"
)

func main() {
	world := flag.String("world", "", "world to make, unless it is there, and to watch")
	wait := flag.Duration("wait", time.Minute, "longest wait for a change")
	flag.Parse()
	if *world == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*world, *wait); err != nil {
		fmt.Fprintln(os.Stderr, describe(err))
		os.Exit(1)
	}
}

func run(world string, wait time.Duration) error {
	connection, err := connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := makeWorld(connection, world); err != nil {
		return err
	}
	if err := listWorlds(connection); err != nil {
		return err
	}
	return watchOneChange(connection, world, wait)
}

// connect opens no connection yet: the first call does. QMTL_GATEWAY is host:port of the gateway, QMTL_API_KEY a key
// where the platform has keys.
func connect() (*grpc.ClientConn, error) {
	address := os.Getenv("QMTL_GATEWAY")
	if address == "" {
		address = "127.0.0.1:7400"
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if key := os.Getenv("QMTL_API_KEY"); key != "" {
		options = append(options, grpc.WithPerRPCCredentials(apiKey(key)))
	}
	return grpc.NewClient(address, options...)
}

// apiKey sends the caller's key with every call. For loopback only: elsewhere use TLS.
type apiKey string

func (key apiKey) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(key)}, nil
}

func (apiKey) RequireTransportSecurity() bool { return false }

// makeWorld creates the world with the wall clock and no account. If it exists already, that is fine, too.
func makeWorld(connection *grpc.ClientConn, world string) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := worldv1.NewWorldServiceClient(connection).CreateWorld(ctx, &worldv1.CreateWorldRequest{
		World: &worldv1.World{WorldId: world, Clock: worldv1.WorldClock_WORLD_CLOCK_WALL},
		// The same id gives the same answer again, so repeating the call after a lost reply is safe.
		RequestId: rand.Text(),
	})
	switch {
	case err == nil:
		fmt.Printf("made      %s\n", world)
	case reasonOf(err) == alreadyThere:
		fmt.Printf("found     %s\n", world)
	default:
		return err
	}
	return nil
}

func listWorlds(connection *grpc.ClientConn) error {
	worlds := worldv1.NewWorldServiceClient(connection)
	for pageToken := ""; ; {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		page, err := worlds.ListWorlds(ctx, &worldv1.ListWorldsRequest{PageSize: worldsAPage, PageToken: pageToken})
		cancel()
		if err != nil {
			return err
		}
		for _, world := range page.GetWorlds() {
			fmt.Printf("world     %s: %s clock\n", world.GetWorldId(), short(world.GetClock(), "WORLD_CLOCK_"))
		}
		if pageToken = page.GetNextPageToken(); pageToken == "" {
			return nil
		}
	}
}

// watchOneChange prints the first state of the gate, then waits for a change. With the first state and every change
// after it, a client knows the gate at any time: revisions of one topic key have no gap.
func watchOneChange(connection *grpc.ClientConn, world string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	control := gatewayv1.NewControlStreamServiceClient(connection)
	issued, err := control.IssueTicket(ctx, &gatewayv1.IssueTicketRequest{
		WorldId: world,
		Rights:  []typev1.TicketRight{typev1.TicketRight_TICKET_RIGHT_OBSERVE},
		Topics:  []controlv1.Topic{controlv1.Topic_TOPIC_GATE},
	})
	if err != nil {
		return err
	}
	fmt.Printf("ticket    for %s\n", strings.Join(issued.GetTopicKeys(), ", "))
	stream, err := control.Subscribe(ctx, &gatewayv1.SubscribeRequest{Ticket: issued.GetTicket()})
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the stream ended without a change")
		}
		if err != nil {
			return err
		}
		event := response.GetEvent()
		switch payload := event.GetPayload().(type) {
		case *controlv1.ControlEvent_Snapshot:
			fmt.Printf("snapshot  %s\n", gateText(payload.Snapshot.GetGate()))
			fmt.Printf("waiting   for a change; qmtl world freeze %s --reason test\n", world)
		case *controlv1.ControlEvent_GateEvent:
			change := short(payload.GateEvent.GetChange(), "GATE_CHANGE_")
			fmt.Printf("change    %s: %s\n", change, gateText(payload.GateEvent.GetState()))
			return nil
		}
	}
}

func gateText(gate *controlv1.GateState) string {
	text := fmt.Sprintf("gate %s, fence %d, revision %d", short(gate.GetGate(), "GATE_"), gate.GetFence(), gate.GetRevision())
	for _, hold := range gate.GetHolds() {
		text += fmt.Sprintf(", held: %s (%s)", short(hold.GetKind(), "HOLD_KIND_"), hold.GetReason())
	}
	return text
}

// short gives "open" for GATE_OPEN, and an enum number that this client does not know as it is.
func short(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

// reasonOf gives the stable reason of a refusal, such as WORLD_NOT_FOUND; programs tell refusals apart by it, not by
// the text. It is empty when the error does not come from the platform.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

func describe(err error) string {
	refusal, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	reason := reasonOf(err)
	if reason == "" {
		return fmt.Sprintf("failed    %s: %s", refusal.Code(), refusal.Message())
	}
	text := fmt.Sprintf("refused   %s: %s", reason, refusal.Message())
	for _, detail := range refusal.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, field := range bad.GetFieldViolations() {
				text += fmt.Sprintf("\n  %s: %s", field.GetField(), field.GetDescription())
			}
		}
	}
	return text
}
