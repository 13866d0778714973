%% Runs schedules through OTP's supervisor, one after another, and tells what happened in the lines that Trace.ts describes.
%%
%% Every process of a schedule runs at priority max, this driver at normal, and there is one scheduler: whenever the
%% driver runs, all others wait for something. They are all linked to the driver, so its mailbox holds their starts and
%% ends in the one order in which they happened.
-module(snakepit_oracle).

-behaviour(supervisor).

-export([main/1, init/1]).
-export([settle/1]).
-export([parent/1, leaf/4]).
-export([start_supervisor/1, start_obeying/1, start_stubborn/1, start_obeying/2, start_stubborn/2]).

-record(run, {
    line = 0 :: non_neg_integer(),
    %% A living process of this schedule, and what it is.
    pids = #{} :: #{pid() => {leaf | supervisor, 1..255}},
    %% The newest process of an id or key, dead or alive.
    newest = #{} :: #{1..255 => pid()},
    parent :: pid(),
    %% Calls without an answer, newest first.
    pending = [] :: [{pid(), Line :: non_neg_integer()}],
    events = [] :: [iodata()],
    replies = [] :: [iodata()],
    %% The third part of the last line.
    shown = [] :: iodata(),
    %% In the order in which they are shown.
    supervisors :: [{static | dynamic, 1..255}],
    templates :: #{1..255 => 1..255}
}).

-define(SCRIPT, oracle_script).

%%% The port

main(Folder) ->
    logger:set_primary_config(level, none),
    case otp_supervisor_patch:load(Folder) of
        ok -> ok;
        {error, Why} -> stop("~ts", [Why])
    end,
    warm_up(),
    process_flag(trap_exit, true),
    Port = open_port({fd, 0, 1}, [{packet, 4}, binary, eof]),
    port_command(Port, otp_version()),
    serve(Port, spawn_link(fun driver/0)).

%% The next batch may already wait here: the driver's mailbox is the schedule's alone.
serve(Port, Driver) ->
    receive
        {Port, {data, Batch}} ->
            Driver ! {self(), binary_to_term(Batch)},
            receive
                {Driver, Traces} -> port_command(Port, Traces);
                {'EXIT', Driver, Reason} -> stop("the driver of the schedules died of ~tp", [Reason])
            end,
            serve(Port, Driver);
        {Port, eof} ->
            halt(0);
        {'EXIT', Port, _} -> % whoever asked was killed before the answer
            halt(0)
    end.

stop(Format, Terms) ->
    io:format(standard_error, Format, Terms),
    halt(1).

driver() ->
    register(oracle, self()),
    process_flag(trap_exit, true),
    virtual_clock:open(),
    ets:new(?SCRIPT, [set, public, named_table]),
    drive(dead_process()).

drive(Dead) ->
    receive
        {Server, Schedules} when is_pid(Server) ->
            Processes = erlang:system_info(process_count),
            Server ! {self(), iolist_to_binary([run(Schedule, Dead) || Schedule <- Schedules])},
            case erlang:system_info(process_count) of
                Processes -> drive(Dead);
                More -> exit({processes_that_outlived_their_schedule, More - Processes})
            end
    end.

%% The first call of a module loads it, and the first thing that it logs caches its level: both wait for others, whom the
%% driver would not wait for.
warm_up() ->
    Modules = lists:flatmap(fun modules/1, [kernel, stdlib]),
    ok = code:ensure_modules_loaded(Modules),
    [logger:allow(error, Module) || Module <- [otp_supervisor | Modules]].

modules(Application) ->
    {ok, Modules} = application:get_key(Application, modules),
    Modules.

otp_version() ->
    Release = erlang:system_info(otp_release),
    case file:read_file(filename:join([code:root_dir(), "releases", Release, "OTP_VERSION"])) of
        {ok, Version} -> string:trim(Version);
        {error, _} -> Release
    end.

dead_process() ->
    Pid = spawn(fun() -> ok end),
    Monitor = monitor(process, Pid),
    receive {'DOWN', Monitor, process, Pid, _} -> Pid end.

%%% A schedule

run({Root, Before, Operations}, Dead) ->
    virtual_clock:reset(),
    ets:delete_all_objects(?SCRIPT),
    ets:insert(?SCRIPT, Before),
    Supervisors = supervisors(Root),
    Run = #run{
        parent = spawn_opt(?MODULE, parent, [Root], [{priority, max}]),
        supervisors = [{Kind, Id} || {Kind, Id, _} <- Supervisors],
        templates = maps:from_list([{Id, Template} || {dynamic, Id, Template} <- Supervisors])
    },
    {Line, Booted} = step(fun quiesce/1, Run),
    operations(Operations, Dead, Booted, [Line]).

operations([Operation | Rest], Dead, Run, Lines) ->
    {Line, Next} = step(fun(Now) -> operation(Operation, Dead, Now) end, Run),
    operations(Rest, Dead, Next, [Line | Lines]);
operations([], _Dead, Run, Lines) ->
    {Line, Asked} = step(fun(Now) -> Now#run.parent ! shutdown, quiesce(Now) end, Run),
    ending(Asked, [Line | Lines]).

%% A root that waits for nothing and still lives will never end.
ending(Run, Lines) ->
    case is_process_alive(Run#run.parent) of
        false ->
            clean(Run),
            [lists:reverse(Lines), $\n];
        true ->
            case virtual_clock:next() of
                none ->
                    clean(Run),
                    [lists:reverse(Lines), "wedged\n\n"];
                Timer ->
                    {Line, Next} = step(fun(Now) -> virtual_clock:fire(Timer), quiesce(Now) end, Run),
                    ending(Next, [Line | Lines])
            end
    end.

%% Whatever outlived the root: what a killed supervisor left behind may still be at its own stop.
clean(#run{pids = Pids, parent = Parent} = Run) ->
    [exit(Pid, kill) || Pid <- [Parent | maps:keys(Pids)]],
    case quiesce(Run) of
        #run{pids = Left} when map_size(Left) =:= 0 -> ok;
        Left -> clean(Left)
    end.

%% What is done, then the timers that are due, then a line. Where nobody was told anything, nothing can have changed.
step(Do, #run{line = Number} = Run) ->
    case Do(Run) of
        {idle, Same} ->
            {["||", Same#run.shown, $\n], Same#run{line = Number + 1}};
        Done ->
            #run{events = Events, replies = Replies} = Fired = fire_until(virtual_clock:now(), Done),
            Shown = show(Fired),
            {[lists:join($\s, lists:reverse(Events)), $|, lists:join($\s, lists:reverse(Replies)), $|, Shown, $\n],
             Fired#run{line = Number + 1, events = [], replies = [], shown = Shown}}
    end.

fire_until(Target, Run) ->
    case virtual_clock:next() of
        {Due, _} = Timer when Due =< Target ->
            virtual_clock:fire(Timer),
            fire_until(Target, quiesce(Run));
        _ ->
            virtual_clock:advance(Target),
            Run
    end.

%%% Operations

operation({exit, Id, Reason}, _Dead, Run) ->
    case leave(Id, Reason, Run) of
        true -> quiesce(Run);
        false -> {idle, Run}
    end;
operation({together, Sup, Exits}, _Dead, Run) ->
    Suspended = [Pid || {ok, Pid} <- [living(Sup, Run)], erlang:suspend_process(Pid)],
    Left = lists:foldl(fun({Id, Reason}, Now) -> leave(Id, Reason, Now), quiesce(Now) end, Run, Exits),
    [erlang:resume_process(Pid) || Pid <- Suspended],
    quiesce(Left);
operation({fail_starts, Id, Times, How}, _Dead, Run) ->
    ets:insert(?SCRIPT, {Id, Times, How}),
    {idle, Run};
operation({tick, Time}, _Dead, Run) ->
    Target = virtual_clock:now() + Time,
    case virtual_clock:next() of
        {Due, _} when Due =< Target -> fire_until(Target, Run);
        _ -> virtual_clock:advance(Target), {idle, Run}
    end;
operation({start, Sup, Child}, _Dead, Run) ->
    call(Sup, {start_child, spec(Child)}, Run);
operation({start_instance, Sup, Key}, _Dead, Run) ->
    call(Sup, {start_child, [Key]}, Run);
operation({restart, Sup, Child}, _Dead, Run) ->
    call(Sup, {restart_child, Child}, Run);
operation({delete, Sup, Child}, _Dead, Run) ->
    call(Sup, {delete_child, Child}, Run);
operation({terminate, Sup, Child}, Dead, #run{templates = Templates, newest = Newest} = Run) ->
    case Templates of
        #{Sup := Template} when Child =/= Template ->
            case is_busy(Sup, Run) of
                true -> {idle, Run};
                false -> call(Sup, {terminate_child, maps:get(Child, Newest, Dead)}, Run)
            end;
        #{} -> call(Sup, {terminate_child, Child}, Run)
    end;
operation({change, Sup, Flags, Children}, _Dead, Run) ->
    case is_busy(Sup, Run) of
        true ->
            {idle, Run};
        false ->
            tell(Sup, fun(Line) -> {system, {self(), {unasked}}, {replace_state, change(self(), Line, Sup, Flags, Children)}} end, Run)
    end.

is_busy(Sup, #run{line = Line} = Run) ->
    case living(Sup, Run) of
        none ->
            false;
        {ok, Pid} ->
            Pid ! {'$gen_call', {self(), {probe, Sup, Line}}, which_children},
            erlang:yield(),
            receive {{probe, Sup, Line}, _} -> false after 0 -> true end
    end.

leave(Id, Reason, #run{pids = Pids} = Run) ->
    case living(Id, Run) of
        {ok, Pid} when map_get(Pid, Pids) =:= {leaf, Id}, Reason =:= kill -> exit(Pid, kill);
        {ok, Pid} when map_get(Pid, Pids) =:= {leaf, Id} -> Pid ! {leave, Reason}, true;
        _ -> false
    end.

living(Id, #run{newest = Newest, pids = Pids}) ->
    case Newest of
        #{Id := Pid} when is_map_key(Pid, Pids) -> {ok, Pid};
        #{} -> none
    end.

%% gen_server:call without waiting: the answer is logged when it comes, `noproc` when the supervisor ends without one.
call(Sup, Request, Run) ->
    tell(Sup, fun(Line) -> {'$gen_call', {self(), {element(1, Request), Line}}, Request} end, Run).

tell(Sup, Message, #run{line = Line, pending = Pending} = Run) ->
    case living(Sup, Run) of
        {ok, Pid} ->
            Pid ! Message(Line),
            quiesce(Run#run{pending = [{Pid, Line} | Pending]});
        none ->
            reply(Line, "noproc", Run)
    end.

%% Runs in the supervisor, as one message to it, with its own code_change/3.
change(Driver, Line, Sup, {Strategy, AutoShutdown, Intensity, Period}, Children) ->
    fun(State) ->
        Definition = {flags(Strategy, AutoShutdown, Intensity, Period), lists:flatmap(fun(Child) -> changed(Child, State) end, Children)},
        put(change, Definition),
        case otp_supervisor:code_change(undefined, State, undefined) of
            {ok, Changed} -> ets:insert(?SCRIPT, {{changed, Sup}, Definition}), Driver ! {{change, Line}, ok}, Changed;
            Error -> Driver ! {{change, Line}, Error}, State
        end
    end.

%% A temporary child is kept without its start arguments, which are its id.
changed({keep, Id}, State) ->
    case otp_supervisor:handle_call({get_childspec, Id}, undefined, State) of
        {reply, {ok, #{start := {Module, Function, undefined}} = Spec}, _} -> [Spec#{start := {Module, Function, [Id]}}];
        {reply, {ok, Spec}, _} -> [Spec];
        {reply, {error, not_found}, _} -> []
    end;
changed(Leaf, _State) ->
    [spec(Leaf)].

%%% What happens

%% When it runs again everybody waits, and everything that they did is in its mailbox.
quiesce(Run) ->
    erlang:yield(),
    listen(Run).

listen(Run) ->
    receive
        Message -> listen(happened(Message, Run))
    after 0 -> Run
    end.

happened({started, Id, Pid}, #run{pids = Pids, newest = Newest} = Run) ->
    event($+, Id, Run#run{pids = Pids#{Pid => {leaf, Id}}, newest = Newest#{Id => Pid}});
happened({begins, Id, Pid}, #run{pids = Pids, newest = Newest} = Run) ->
    event($(, Id, Run#run{pids = Pids#{Pid => {supervisor, Id}}, newest = Newest#{Id => Pid}});
happened({root, Id, Pid}, #run{pids = Pids, newest = Newest} = Run) ->
    Run#run{pids = Pids#{Pid => {supervisor, Id}}, newest = Newest#{Id => Pid}};
happened({up, Id}, Run) ->
    event($+, Id, Run);
happened({error, Id}, Run) ->
    event($!, Id, Run);
happened({ignore, Id}, Run) ->
    event($?, Id, Run);
happened({'EXIT', Pid, _Reason}, #run{pids = Pids} = Run) ->
    case maps:take(Pid, Pids) of
        {{leaf, Id}, Left} -> event($-, Id, Run#run{pids = Left});
        {{supervisor, Id}, Left} -> unanswered(Pid, event($), Id, Run#run{pids = Left}))
    end;
happened({boot, Outcome}, #run{replies = Replies} = Run) ->
    Run#run{replies = [["boot=", atom_to_binary(Outcome)] | Replies]};
happened({ended, Reason}, #run{replies = Replies} = Run) ->
    Run#run{replies = [["exit=", Reason] | Replies]};
happened({{Request, Line}, Answer}, #run{pending = Pending} = Run) ->
    reply(Line, shape(Request, Answer), Run#run{pending = lists:keydelete(Line, 2, Pending)});
happened({{_, _, _}, _}, Run) ->
    Run; % a supervisor that was busy when it was asked for its children
happened({{unasked}, _}, Run) ->
    Run.

event(Sign, Id, #run{events = Events} = Run) ->
    Run#run{events = [[Sign, integer_to_binary(Id)] | Events]}.

reply(Line, Shape, #run{replies = Replies} = Run) ->
    Run#run{replies = [[integer_to_binary(Line), $=, Shape] | Replies]}.

unanswered(_Pid, #run{pending = []} = Run) ->
    Run;
unanswered(Pid, #run{pending = Pending} = Run) ->
    {Lost, Left} = lists:partition(fun({Asked, _}) -> Asked =:= Pid end, Pending),
    lists:foldr(fun({_, Line}, Now) -> reply(Line, "noproc", Now) end, Run#run{pending = Left}, Lost).

shape(_, ok) -> "ok";
shape(_, {ok, undefined}) -> "ignored";
shape(_, {ok, _}) -> "ok";
shape(_, {error, {already_started, _}}) -> "already_started";
shape(_, {error, simple_one_for_one}) -> "simple";
shape(_, {error, Reason}) when Reason =:= already_present; Reason =:= running; Reason =:= restarting; Reason =:= not_found ->
    atom_to_binary(Reason);
shape(_, {error, _}) -> "failed".

%% Asks every living supervisor and takes the answers that come at once.
show(#run{supervisors = Supervisors, line = Line} = Run) ->
    Living = [{Kind, Id, Pid} || {Kind, Id} <- Supervisors, {ok, Pid} <- [living(Id, Run)]],
    [begin
         Pid ! {'$gen_call', {self(), {children, Id, Line}}, which_children},
         Pid ! {'$gen_call', {self(), {counts, Id, Line}}, count_children}
     end || {_, Id, Pid} <- Living],
    erlang:yield(),
    lists:join($\s, [show(Kind, Id, Line) || {Kind, Id, _} <- Living]).

show(Kind, Id, Line) ->
    receive
        {{children, Id, Line}, Children} ->
            receive
                {{counts, Id, Line}, Counts} -> [integer_to_binary(Id), children(Kind, Children) | counts(Counts)]
            end
    after 0 -> [integer_to_binary(Id), $~]
    end.

children(static, Children) ->
    [$[, lists:join($\s, [[integer_to_binary(Id), status(Pid)] || {Id, Pid, _, _} <- lists:reverse(Children)]), $]];
children(dynamic, Children) ->
    Statuses = [status(Pid) || {_, Pid, _, _} <- Children],
    Count = fun(Status) -> integer_to_binary(length([Status || Each <- Statuses, Each =:= Status])) end,
    ["{u", Count($u), " r", Count($r), " d", Count($d), $}].

status(undefined) -> $d;
status(restarting) -> $r;
status(Pid) when is_pid(Pid) -> $u.

counts([{specs, Specs}, {active, Active}, {supervisors, Supervisors}, {workers, Workers}]) ->
    [$#, lists:join($,, [integer_to_binary(Count) || Count <- [Specs, Active, Supervisors, Workers]])].

%%% The tree

supervisors({static, Id, _, _, _, _, _, _, _, Children}) ->
    [{static, Id, none} | lists:flatmap(fun supervisors/1, Children)];
supervisors({dynamic, Id, _, _, _, _, _, Template}) ->
    [{dynamic, Id, element(2, Template)}];
supervisors(Leaf) when element(1, Leaf) =:= leaf ->
    [].

%% Answers what a live change put there, and after that, what it was changed to last; otherwise the tree.
init({Kind, Node}) ->
    case erase(change) of
        undefined ->
            link(whereis(oracle)),
            oracle ! {Kind, element(2, Node), self()},
            case ets:lookup(?SCRIPT, {changed, element(2, Node)}) of
                [{_, Definition}] -> {ok, Definition};
                [] -> {ok, definition(Node)}
            end;
        Changed ->
            {ok, Changed}
    end.

definition({static, _, _, _, _, Strategy, AutoShutdown, Intensity, Period, Children}) ->
    {flags(Strategy, AutoShutdown, Intensity, Period), [spec(Child) || Child <- Children]};
definition({dynamic, _, _, _, _, Intensity, Period, Template}) ->
    {flags(simple_one_for_one, never, Intensity, Period), [spec(Template)]}.

flags(Strategy, AutoShutdown, Intensity, Period) ->
    #{strategy => Strategy, auto_shutdown => AutoShutdown, intensity => Intensity, period => Period}.

spec({leaf, Id, Restart, Significant, Shutdown, Obeys}) ->
    Start = case Obeys of
        true -> start_obeying;
        false -> start_stubborn
    end,
    spec(Id, {?MODULE, Start, [Id]}, Restart, Significant, Shutdown, worker);
spec(Node) ->
    spec(element(2, Node), {?MODULE, start_supervisor, [Node]}, element(3, Node), element(4, Node), element(5, Node), supervisor).

spec(Id, Start, Restart, Significant, Shutdown, Type) ->
    #{id => Id, start => Start, restart => Restart, significant => Significant, shutdown => Shutdown, type => Type, modules => []}.

%%% Processes of the tree

%% A supervisor calls it when a child is gone, with the type of that. Of a supervisor that was killed or crashed, all
%% below it would end while ours goes on, in no order; so ours lets them run until they wait for something. One yield is
%% enough in trees of depth 3: what is left of a killed supervisor has no supervisors below it to wait for in turn.
settle(worker) ->
    ok;
settle(supervisor) ->
    process_flag(priority, high),
    erlang:yield(),
    process_flag(priority, max).

%% Whoever starts the root and stops it.
parent(Root) ->
    process_flag(trap_exit, true),
    case otp_supervisor:start_link(?MODULE, {root, Root}) of
        {ok, Pid} ->
            oracle ! {boot, ok},
            parent_of(Pid);
        {error, _} ->
            oracle ! {boot, failed}
    end.

parent_of(Pid) ->
    receive
        shutdown ->
            exit(Pid, shutdown),
            parent_of(Pid);
        {'EXIT', Pid, Reason} ->
            oracle ! {ended, ending(Reason)}
    end.

ending(shutdown) -> "shutdown";
ending(killed) -> "killed";
ending(_) -> "crashed".

start_supervisor(Node) ->
    Id = element(2, Node),
    scripted(Id, Id, fun() ->
        case otp_supervisor:start_link(?MODULE, {begins, Node}) of
            {ok, Pid} -> oracle ! {up, Id}, {ok, Pid};
            Error -> Error
        end
    end).

start_obeying(Id) -> start_leaf(Id, Id, true).
start_stubborn(Id) -> start_leaf(Id, Id, false).
start_obeying(Template, Key) -> start_leaf(Template, Key, true).
start_stubborn(Template, Key) -> start_leaf(Template, Key, false).

start_leaf(Scripted, Id, Obeys) ->
    scripted(Scripted, Id, fun() ->
        Pid = spawn_opt(?MODULE, leaf, [self(), whereis(oracle), Id, Obeys], [link, {priority, max}]),
        receive {Pid, started} -> {ok, Pid} end
    end).

%% Starts it, or does what FailStarts said of it.
scripted(Scripted, Id, Start) ->
    case ets:lookup(?SCRIPT, Scripted) of
        [] ->
            Start();
        [{_, Times, How}] ->
            case Times of
                1 -> ets:delete(?SCRIPT, Scripted);
                _ -> ets:insert(?SCRIPT, {Scripted, Times - 1, How})
            end,
            oracle ! {How, Id},
            case How of
                error -> {error, scripted};
                ignore -> ignore
            end
    end.

leaf(Supervisor, Driver, Id, Obeys) ->
    process_flag(trap_exit, not Obeys),
    link(Driver),
    Driver ! {started, Id, self()},
    Supervisor ! {self(), started},
    live(Supervisor).

%% Only a stubborn leaf ever finds an exit signal here.
live(Supervisor) ->
    receive
        {leave, shutdown_term} -> exit({shutdown, scripted});
        {leave, Reason} -> exit(Reason);
        {'EXIT', Supervisor, shutdown} -> live(Supervisor);
        {'EXIT', Supervisor, Reason} -> exit(Reason)
    end.
