--- `:Midfill ...`
local server = require('midfill.server')

local M = {}

local NAME = 'Midfill'

--- Show lines in a small window of their own.
local function show(title, lines)
  vim.cmd('botright ' .. math.min(#lines, 15) .. 'new')
  vim.bo.buftype, vim.bo.bufhidden, vim.bo.swapfile = 'nofile', 'wipe', false
  vim.api.nvim_buf_set_name(0, ('midfill://%s/%d'):format(title, vim.api.nvim_get_current_buf()))
  vim.api.nvim_buf_set_lines(0, 0, -1, false, lines)
  vim.bo.modifiable = false
end

local function ask(method, params, describe)
  local bufnr = vim.api.nvim_get_current_buf()
  local sent = server.request(method, params, function(err, result)
    if err then
      vim.notify('midfill: ' .. err.message, vim.log.levels.ERROR)
    else
      describe(result)
    end
  end, bufnr)
  if not sent then
    vim.notify('midfill: there is no server; see :checkhealth midfill', vim.log.levels.WARN)
  end
end

local function explain()
  ask('midfill/explain', { itemId = vim.NIL }, function(result)
    if result == nil or result == vim.NIL then
      vim.notify('midfill: there was no suggestion yet')
    else
      show('explain', vim.split(vim.trim(result.report), '\n', { plain = true }))
    end
  end)
end

local function stats()
  ask('midfill/stats', vim.empty_dict(), function(result)
    local lines = {}
    for name, value in pairs(result) do
      if type(value) == 'number' then
        table.insert(lines, ('%-20s %g'):format(name, value))
      end
    end
    table.sort(lines)
    show('stats', lines)
  end)
end

local function status(midfill)
  local text = midfill.statusline()
  local message = server.status.message
  vim.notify(message ~= '' and ('%s (%s)'):format(text, message) or text)
end

local WHERE = { 'global', 'buffer', 'filetype' }

--- The subcommands; each gets the plug-in and the words behind it.
local subcommands = {
  enable = function(midfill, where)
    midfill.toggle(where or 'global', true)
  end,
  disable = function(midfill, where)
    midfill.toggle(where or 'global', false)
  end,
  toggle = function(midfill, where)
    midfill.toggle(where or 'global')
  end,
  status = status,
  explain = explain,
  stats = stats,
  restart = function()
    server.restart()
  end,
}

local function names()
  local found = vim.tbl_keys(subcommands)
  table.sort(found)
  return found
end

local function complete(_, line)
  local words = vim.split(line, '%s+')
  local offered = #words <= 2 and names() or WHERE
  return vim.tbl_filter(function(word)
    return vim.startswith(word, words[#words])
  end, offered)
end

--- Make the command.
---@param midfill table the plug-in
function M.create(midfill)
  vim.api.nvim_create_user_command(NAME, function(call)
    local name, where = call.fargs[1] or 'status', call.fargs[2]
    local run = subcommands[name]
    if not run or (where and not vim.list_contains(WHERE, where)) then
      local known = ('%s, and %s'):format(table.concat(names(), ', '), table.concat(WHERE, ', '))
      vim.notify(('midfill: %s is not known; there are %s'):format(call.args, known), vim.log.levels.ERROR)
    else
      run(midfill, where)
    end
  end, { nargs = '*', complete = complete, desc = 'midfill: local code completion' })
end

--- Take the command away.
function M.delete()
  pcall(vim.api.nvim_del_user_command, NAME)
end

return M
