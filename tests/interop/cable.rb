# frozen_string_literal: true

# A real server of sub-protocol actioncable-v1-json: Action Cable of Rails, with graphql-ruby's subscriptions on a
# channel, on Puma. Orders and answers are those of hub.mjs.

require "json"
require "logger"
require "active_support/all"
require "action_controller"
require "action_cable"
require "graphql"
require "puma"
require "puma/server"
require "puma/events"

TOKEN = ENV.fetch("INTEROP_TOKEN")
# What is counted for the test; of the cable's threads each writes under the lock.
FACTS = { connections: 0, refused: 0, tokens: [], pongs: 0, ended: 0 }
LOCK = Mutex.new

# By topic, the streams that the cable listens to. Rails registers them on a thread of its own, and graphql-ruby does
# not wait for that: its first answer, with no data, is sent some milliseconds before.
def subscribed
  map = ActionCable.server.pubsub.send(:subscriber_map)
  streams = map.instance_variable_get(:@subscribers).to_a
  streams.to_h { |name, all| [name[/\Agraphql-event::(?:n|text):topic:(.*)\z/, 1], all.size] }.compact
end

module Telling
  def update(topic:)
    # The end of an operation is the server's to decide, here on the test's order.
    unsubscribe if object == :over
    object
  end
end

class Number < GraphQL::Schema::Subscription
  include Telling
  argument :topic, String, required: true
  payload_type Integer
end

class Text < GraphQL::Schema::Subscription
  include Telling
  argument :topic, String, required: true
  payload_type String
end

class Queries < GraphQL::Schema::Object
  field :alive, Boolean, null: true
end

class Subscriptions < GraphQL::Schema::Object
  field :n, subscription: Number
  field :text, subscription: Text
end

class Schema < GraphQL::Schema
  use GraphQL::Subscriptions::ActionCableSubscriptions
  query Queries
  subscription Subscriptions
end

class Connection < ActionCable::Connection::Base
  def connect
    given = request.headers["Authorization"].presence || request.params["access_token"]
    good = [TOKEN, "Bearer #{TOKEN}"].include?(given)
    LOCK.synchronize do
      FACTS[:connections] += 1
      good ? FACTS[:tokens] << given : FACTS[:refused] += 1
    end
    reject_unauthorized_connection unless good
  end
end

class GraphqlChannel < ActionCable::Channel::Base
  def subscribed
    @ids = []
  end

  def execute(data)
    variables = data["variables"] || {}
    result = Schema.execute(
      data["query"], variables: variables, operation_name: data["operationName"], context: { channel: self }
    )
    @ids << result.context[:subscription_id]
    transmit({ result: result.to_h, more: result.subscription? })
  end

  def unsubscribed
    ids = @ids.compact
    ids.each { |id| Schema.subscriptions.delete_subscription(id) }
    LOCK.synchronize { FACTS[:ended] += ids.size }
  end
end

class ForbiddenChannel < ActionCable::Channel::Base
  def subscribed
    reject
  end
end

# Action Cable broadcasts on several threads: what one order publishes is sent one by one, each when the one before
# has gone out, for the order of events is the application's to keep.
def publish(order)
  values = order["values"] || ["x" * order["size"]]
  values.each { |value| Schema.subscriptions.trigger(order["field"], { topic: order["topic"] }, value) }
  {}
end

ORDERS = {
  "facts" => ->(_) { LOCK.synchronize { FACTS.merge(subscribed: subscribed) } },
  "publish" => method(:publish),
  "finish" => lambda do |order|
    Schema.subscriptions.trigger(order["field"], { topic: order["topic"] }, :over)
    {}
  end,
  "leave" => lambda do |_|
    ActionCable.server.restart
    {}
  end
}.freeze

# Every three seconds is Rails' own interval; the tests have no time for it.
ActionCable::Server::Connections.send(:remove_const, :BEAT_INTERVAL)
ActionCable::Server::Connections::BEAT_INTERVAL = 0.2

ActionCable.server.config.cable = { "adapter" => "async" }
ActionCable.server.config.connection_class = -> { Connection }
# One worker: with more, two results may overtake each other, and the order here is part of the test.
ActionCable.server.config.worker_pool_size = 1
ActionCable.server.config.disable_request_forgery_protection = true
ActionCable.server.config.logger = Logger.new(ENV["INTEROP_LOG"] ? $stderr : nil)

server = Puma::Server.new(ActionCable.server, Puma::Events.null)
port = server.add_tcp_listener("127.0.0.1", (ARGV[0] || 0).to_i).addr[1]
server.run
$stdout.sync = true
puts JSON.generate(port: port)
$stdin.each_line do |line|
  order = JSON.parse(line)
  puts JSON.generate(ORDERS.fetch(order["do"]).call(order))
end
exit!(0)
